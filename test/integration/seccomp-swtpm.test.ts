/** swtpm at work under the filter of its jail: from its own filter to the commands of a guest. */
import assert from 'node:assert/strict';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { blocking, connectUnixSocket } from '../../src/linux/unix-socket.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { tpmServer } from '../../src/manager/facts/side-servers.ts';
import { gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { definitionOf, sampleFacts } from '../../src/plan/sample-facts.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { beginGuest } from '../support/bare-guest.ts';
import { startBareQemu } from '../support/bare-qemu.ts';
import { buildDemoGuest } from '../support/demo-guest.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { allows, unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';

const directory = await mkdtemp(join(tmpdir(), 'qward-swtpm-'));
after(() => rm(directory, { recursive: true }));

const gathered = await gatherTool('/usr/bin/swtpm', tpmServer);
assert.ok(gathered.ok, JSON.stringify(gathered));
const qemu = await gatherQemu('/usr/bin/qemu-system-x86_64');
assert.ok(qemu.ok);

const yaml = demoMachine({ name: 'web', guest: buildDemoGuest(), more: 'tpm: true' });
const definition = definitionOf(yaml);
const planned = planLaunch(
  definition,
  sampleFacts(definition, { qemu: qemu.value.facts, swtpm: gathered.value, varsDirectory: directory }),
);
assert.ok(planned.ok, JSON.stringify(planned));
const [server] = planned.plan.beside;
assert.ok(server !== undefined);

let calls: TracedCall[] = [];

test('a guest finds its TPM, and reads its registers', async () => {
  await mkdir(join(directory, 'web.tpm'));
  const bare = startBareQemu(planned.plan.launch, directory);
  after(() => bare.child.kill('SIGKILL'));
  let fd = -1;
  for (let tries = 0; fd < 0 && tries < 500; tries += 1, await delay(10)) {
    const connected = connectUnixSocket(bare.sockets.tpm ?? '');
    if ('fd' in connected) fd = connected.fd;
  }
  const traced = await startTraced(server.launch, directory, { netdev: () => blocking(fd) });
  await using jailed = traced.jailed;
  const guest = beginGuest(bare);
  await guest.until(/# /);
  await delay(500);
  guest.write('cat /sys/class/tpm/tpm0/pcr-sha256/16; echo do""ne\n');
  await guest.until(/0{64}[\s\S]*done/);
  bare.child.kill('SIGKILL');
  // It ends with its connection.
  await jailed.ended(30_000);
  calls = await traced.calls();
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles.swtpm, calls), []);
});

// SECURITY: promise 2. What it is joined to was given: it makes no connection, no process, no name but of its state.
test('no socket, no namespace, no other program or process, no other mode of a file', () => {
  const rules = seccompProfiles.swtpm.groups.flatMap((group) => group.rules);
  const rule = (name: string) => rules.find(({ call }) => call === name);
  for (const call of 'socket socketpair connect bind listen unshare setns mount pivot_root chroot ptrace bpf kill keyctl ioctl mknod mknodat fork vfork execveat chown fchown fchownat chmod fchmodat link linkat symlink symlinkat mkdir process_vm_readv perf_event_open userfaultfd io_uring_setup memfd_create sendmsg'.split(
    ' ',
  ))
    assert.equal(rule(call), undefined, call);
  const mode = rule('fchmod');
  assert.ok(mode !== undefined && allows(mode, [3n, 0o600n]));
  for (const other of [0o4755n, 0o666n, 0o6000n]) assert.equal(allows(mode, [3n, other]), false);
  const clone = rule('clone');
  assert.equal(clone !== undefined && allows(clone, [0x11n]), false);
});
