/** virtiofsd at work under the filter of its jail: from its walls to the files that a guest makes. */
import assert from 'node:assert/strict';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { bindUnixSocket, blocking, connectUnixSocket, listening } from '../../src/linux/unix-socket.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { shareServer } from '../../src/manager/facts/side-servers.ts';
import { gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { definitionOf, sampleFacts } from '../../src/plan/sample-facts.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { beginGuest } from '../support/bare-guest.ts';
import { startBareQemu } from '../support/bare-qemu.ts';
import { buildDemoGuest } from '../support/demo-guest.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { allows, refusedCalls, unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';

const directory = await mkdtemp(join(tmpdir(), 'qward-virtiofsd-'));
after(() => rm(directory, { recursive: true }));

const gathered = await gatherTool('/usr/lib/qemu/virtiofsd', shareServer);
assert.ok(gathered.ok, JSON.stringify(gathered));
const qemu = await gatherQemu('/usr/bin/qemu-system-x86_64');
assert.ok(qemu.ok);

const folder = join(directory, 'data');
const more = `shares: [{ tag: data, path: ${folder} }]`;
const definition = definitionOf(
  demoMachine({ name: 'web', guest: buildDemoGuest(), switches: 'qward.shares', more }),
);
const planned = planLaunch(
  definition,
  sampleFacts(definition, {
    qemu: qemu.value.facts,
    virtiofsd: { ...gathered.value, openFiles: 4096 },
  }),
);
assert.ok(planned.ok, JSON.stringify(planned));
const [server] = planned.plan.beside;
assert.ok(server !== undefined);

let calls: TracedCall[] = [];

test('a guest mounts, makes, reads, renames and removes', async () => {
  await mkdir(folder);
  await writeFile(join(folder, 'read-me'), 'hello');
  const socket = join(directory, 'share.sock');
  const traced = await startTraced(server.launch, directory, {
    netdev: () => listening(bindUnixSocket(socket, 0o600)),
  });
  await using jailed = traced.jailed;
  const joined = connectUnixSocket(socket);
  assert.ok('fd' in joined, JSON.stringify(joined) + (await jailed.readLog()).toString());
  const bare = startBareQemu(planned.plan.launch, directory, () => blocking(joined.fd));
  after(() => bare.child.kill('SIGKILL'));
  // QEMU listens some time after it was begun.
  for (let tries = 0; tries < 500; tries += 1, await delay(10)) {
    const found = connectUnixSocket(bare.sockets.qmp ?? '');
    if (!('fd' in found)) continue;
    closeSync(found.fd);
    break;
  }
  const guest = beginGuest(bare);
  await guest.until(/# /);
  await delay(500);
  guest.write(
    'mkdir /tmp/a; mount -t virtiofs data /tmp/a && cd /tmp/a && cat read-me && echo x >y && mkdir d && mv y d/z && chmod 600 d/z && ls -la . d && rm -r d; sync; echo do""ne\n',
  );
  await guest.until(/done/);
  bare.child.kill('SIGKILL');
  await jailed.ended(30_000);
  calls = await traced.calls();
  // Asked for, and done without: clone3 falls back to clone, and there is no postcopy.
  const refused = [...refusedCalls(seccompProfiles.virtiofsd, calls).keys()].filter(
    (call) => call !== 'epoll_ctl',
  );
  assert.deepEqual(refused.toSorted(), ['clone3', 'userfaultfd']);
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles.virtiofsd, calls), []);
});

// SECURITY: promises 3 and 4. What a guest asks of a folder goes through these: nothing that lends its owner's rights to others is among them.
test('no mode with set-uid, no device, no other owner, no socket, no other namespace or program', () => {
  const rules = seccompProfiles.virtiofsd.groups.flatMap((group) => group.rules);
  const allowed = (name: string, ...args: bigint[]): boolean => {
    const found = rules.find(({ call }) => call === name);
    return found !== undefined && allows(found, args);
  };
  const creating = 0o100n;
  assert.ok(allowed('openat', 3n, 0n, creating, 0o755n) && allowed('fchmod', 3n, 0o1777n));
  for (const mode of [0o4755n, 0o2755n, 0o6000n]) {
    assert.equal(allowed('openat', 3n, 0n, creating, mode), false);
    assert.equal(allowed('openat', 3n, 0n, 0o20200000n, mode), false);
    assert.equal(allowed('fchmod', 3n, mode), false);
    assert.equal(allowed('fchmodat', 3n, 0n, mode), false);
    assert.equal(allowed('mkdirat', 3n, 0n, mode), false);
    assert.equal(allowed('mknodat', 3n, 0n, 0o100000n | mode), false);
  }
  assert.ok(allowed('mknodat', 3n, 0n, 0o100644n) && allowed('mknodat', 3n, 0n, 0o010644n));
  for (const kind of [0o020000n, 0o060000n]) assert.equal(allowed('mknodat', 3n, 0n, kind | 0o644n), false);
  assert.ok(allowed('fchownat', 3n, 0n, 0n, 0xffff_ffffn));
  for (const [uid, gid] of [
    [1000n, 0n],
    [0n, 1000n],
  ] as const)
    assert.equal(allowed('fchownat', 3n, 0n, uid, gid), false);
  for (const flags of [0x2_0000n, 0x4000_0000n, 0x5000_0000n, 0x2000_0000n])
    assert.equal(allowed('unshare', flags), false);
  assert.equal(allowed('clone', 0x11n), false);
  for (const call of 'socket socketpair connect bind listen setns mount umount2 pivot_root ptrace bpf kill keyctl ioctl mknod fork vfork execveat chown fchown lchown chmod setxattr fsetxattr lsetxattr name_to_handle_at open_by_handle_at process_vm_readv perf_event_open io_uring_setup memfd_create'.split(
    ' ',
  ))
    assert.equal(
      rules.some((rule) => rule.call === call),
      false,
      call,
    );
});
