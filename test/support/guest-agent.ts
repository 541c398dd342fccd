/** Debian's qemu-ga for the demo guest: an initial RAM disk with the agent and its libraries, behind the guest's own. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { file } from './cpio.ts';
import { addToInitrd, librariesOf } from './guest-initrd.ts';
import { downloadPackage, run } from './debian-package.ts';
import { defaultCache, type DemoGuest } from './demo-guest.ts';

const program = 'usr/sbin/qemu-ga';

/** What the agent calls for guest-shutdown, with the words that it uses: busybox has no shutdown. */
const shutdown = `#!/bin/sh
echo "qward-demo: qemu-ga called shutdown $*" >/dev/console
exec poweroff -f
`;

/** What it calls for guest-set-time. */
const hwclock = `#!/bin/sh
exec /bin/busybox hwclock "$@"
`;

/** Unpacks the agent below the cache, once. */
function agentBinary(): string {
  const place = join(defaultCache, 'qemu-guest-agent');
  const binary = join(place, program);
  if (existsSync(binary)) return binary;
  mkdirSync(defaultCache, { recursive: true });
  const work = mkdtempSync(join(defaultCache, '.agent-'));
  try {
    const deb = downloadPackage('qemu-guest-agent', work);
    run('dpkg-deb', ['--extract', deb, 'tree'], work);
    rmSync(place, { recursive: true, force: true });
    renameSync(join(work, 'tree'), place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return binary;
}

/** Writes the guest's initial RAM disk with the agent in it. The switch `qward.qemu-ga` starts it. */
export function addGuestAgent(guest: DemoGuest, target: string): DemoGuest {
  const binary = agentBinary();
  const files = [
    file(program, readFileSync(binary), 0o755),
    file('sbin/shutdown', Buffer.from(shutdown), 0o755),
    file('sbin/hwclock', Buffer.from(hwclock), 0o755),
    ...librariesOf(binary),
  ];
  addToInitrd(guest, target, files);
  return { ...guest, initrd: target };
}
