/** perl in place of QEMU, in the same jail: it makes the system calls that a taken-over QEMU would. */
import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { readQemuLog } from '../../src/manager/lifecycle/qemu-log.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';

const libraries = '/usr/lib/x86_64-linux-gnu';

/** For a policy with `qemuBinaries: ['/usr/bin/perl']`. */
export function perlLaunch(launch: LaunchRequest, script: string): LaunchRequest {
  const shown = (path: string): { source: string; target: string } => ({
    source: realpathSync(path),
    target: path,
  });
  return {
    ...launch,
    binary: '/usr/bin/perl',
    argv: ['-e', script],
    root: [
      shown('/usr/bin/perl'),
      shown(`${libraries}/perl-base`),
      shown('/usr/lib64/ld-linux-x86-64.so.2'),
      ...['libc.so.6', 'libm.so.6', 'libcrypt.so.1'].map((name) => shown(`${libraries}/${name}`)),
    ],
  };
}

/** What the script wrote, once it has written `end`. */
export async function linesUntilEnd(log: string): Promise<readonly string[]> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const { lines } = await readQemuLog(log, 0);
    if (lines.includes('end')) return lines;
    if (performance.now() > deadline) throw new Error(`no end in:\n${lines.join('\n')}`);
    await delay(20);
  }
}
