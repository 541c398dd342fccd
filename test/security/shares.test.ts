/**
 * Promises 1, 3 and 4: which folders a machine may have, in whose name, and joined to whom; promise 2 against a virtiofsd that was taken over. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openClaims } from '../../src/broker/claims.ts';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { shareServer } from '../../src/manager/facts/side-servers.ts';
import { shareJob } from '../../src/plan/shares.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest, Shown } from '../../src/protocol/launch.ts';
import { virtiofsdArguments } from '../../src/protocol/side-servers.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { testLaunch } from '../support/test-launch.ts';

const [alice, bob] = [910_000_033, 910_000_034];
bindAccounts(
  [
    { name: 'alice', uid: alice },
    { name: 'bob', uid: bob },
  ],
  {},
);
const tool = await gatherTool('/usr/lib/qemu/virtiofsd', shareServer);
assert.ok(tool.ok, JSON.stringify(tool));
const { binary, closure } = tool.value;

let base = '';
before(() => {
  base = mkdtempSync('/tmp/qward-shares-');
  chmodSync(base, 0o755);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', base]);
  for (const [name, uid] of [
    ['alice', alice],
    ['bob', bob],
  ] as const) {
    mkdirSync(`${base}/${name}/data`, { recursive: true });
    writeFileSync(`${base}/${name}/data/own`, `of ${name}\n`, { mode: 0o600 });
    execFileSync('chown', ['-R', `${uid}:${uid}`, `${base}/${name}`]);
    chmodSync(`${base}/${name}`, 0o700);
  }
  symlinkSync(`${base}/bob/data`, `${base}/alice/link`);
});
after(() => {
  execFileSync('umount', ['-R', base]);
  rmSync(base, { recursive: true });
});

const job = shareJob('one', 'data');
const folder = (path: string, claimant: number | null = alice, access: 'ro' | 'rw' = 'rw'): Shown => ({
  kind: 'file',
  path,
  access,
  claimant,
});

async function launchOf(shown: Shown, change: Partial<LaunchRequest> = {}): Promise<LaunchRequest> {
  const { limits } = await testLaunch('one');
  return {
    machine: job,
    program: 'virtiofsd',
    binary,
    argv: virtiofsdArguments(shown.path),
    env: {},
    descriptors: [{ kind: 'netdev', machine: 'one', socket: 'share' }],
    devices: [],
    root: closure,
    shown: [shown],
    limits: { ...limits, openFiles: 4096 },
    ...change,
  };
}

function claim(broker: TestBroker, machine: string, path: string, access: 'ro' | 'rw' = 'rw'): void {
  const register = openClaims(`${broker.site.paths.brokerState}/claims.json`, () => new Date());
  assert.ok(register.add(machine, alice, [{ path, access }]));
}

async function refused(broker: TestBroker, launch: LaunchRequest, why: RegExp): Promise<void> {
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, JSON.stringify(launch));
  assert.match(reply.refusals.map(({ message }) => message).join('\n'), why);
}

test('a folder that no policy and no claim for this machine gives is not shared, whoever asks', async () => {
  await using broker = await startTestBroker();
  const own = `${base}/alice/data`;
  claim(broker, 'two', own);
  await refused(broker, await launchOf(folder(own)), /did not claim/);
  claim(broker, 'one', own, 'ro');
  for (const path of [`${base}/bob/data`, `${base}/alice/link`]) claim(broker, 'one', path);
  const refusals: readonly (readonly [Shown, RegExp])[] = [
    [folder(own), /did not claim .* to be written/],
    [folder(own, bob), /did not claim/],
    [folder(own, null), /outside the storage roots/],
    [folder('/etc', null), /outside the storage roots/],
    [folder('/usr/share', null, 'ro'), /which the jail has already/],
    [folder(broker.site.paths.brokerState, null), /outside the storage roots/],
    [folder(`${base}/bob/data`), /user alice may not/],
    [folder(`${base}/alice/link`), /symbolic link/],
    [folder(`${base}/alice/../bob/data`), /not an absolute path/],
  ];
  for (const [shown, why] of refusals) await refused(broker, await launchOf(shown), why);
  // What is root's is shared with nobody to be written, and a file with nobody at all.
  mkdirSync(`${broker.images}/of-root`);
  writeFileSync(`${broker.images}/file`, '');
  chownSync(`${broker.images}/file`, bob, bob);
  // Root of the guest would be of root's group in it.
  mkdirSync(`${broker.images}/of-roots-group`);
  chownSync(`${broker.images}/of-roots-group`, bob, 0);
  for (const name of ['of-root', 'of-roots-group', 'file'])
    await refused(
      broker,
      await launchOf(folder(`${broker.images}/${name}`, null)),
      /is root's, or no folder/,
    );
  assert.deepEqual(traces(broker.site), []);
});

test('a manager that asks for more in the name of a share gets nothing', async () => {
  await using broker = await startTestBroker();
  const own = `${base}/alice/data`;
  const comma = `${base}/alice/data,modcaps=+sys_admin`;
  for (const path of [own, comma, `${base}/alice`]) claim(broker, 'one', path);
  const netdev = { kind: 'netdev', machine: 'one', socket: 'share' } as const;
  const words = virtiofsdArguments(own);
  const attacks: readonly (readonly [Partial<LaunchRequest>, RegExp])[] = [
    [{ argv: [...words, '-o', 'modcaps=+sys_admin'] }, /more than a shared folder gets/],
    [{ argv: words.map((word) => word.replace('sandbox=chroot', 'sandbox=namespace')) }, /more than/],
    [{ argv: words.filter((word) => !word.startsWith('modcaps')) }, /more than/],
    [{ argv: virtiofsdArguments('/') }, /more than/],
    [{ argv: [words.join('\n')] }, /more than/],
    [{ argv: [...words.slice(0, 2), words.slice(2).join('\n')] }, /more than/],
    [{ env: { LD_PRELOAD: 'x' } }, /more than/],
    [{ descriptors: [netdev, netdev] }, /more than/],
    [{ descriptors: [{ ...netdev, socket: 'tpm' }] }, /more than/],
    [{ descriptors: [{ kind: 'socket', name: 'share' }] }, /more than/],
    [{ devices: ['/dev/kvm'] }, /more than/],
    [{ machine: 'web' }, /more than/],
    [{ relaxed: [{ relax: 'seccomp', to: 'off' }] }, /more than/],
    [{ shown: [folder(own), folder(`${base}/alice`)] }, /more than|already/],
    [{ binary: '/usr/bin/perl' }, /not a server of shared folders/],
  ];
  for (const [change, why] of attacks) await refused(broker, await launchOf(folder(own), change), why);
  await refused(broker, await launchOf(folder(comma)), /more than/);
  assert.deepEqual(traces(broker.site), []);
});

// SECURITY: promise 4. What alice claimed for one machine is no other's, though both are the manager's to launch.
test('another machine is not joined to the server of a folder, and what it is to the host is a uid and the folder', async () => {
  await using broker = await startTestBroker();
  const own = `${base}/alice/data`;
  claim(broker, 'one', own);
  const reply = await broker.ask<LaunchedMachine>({
    v: 1,
    call: 'launch',
    launch: await launchOf(folder(own)),
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  const joined = { kind: 'netdev', machine: job, socket: 'share' } as const;
  await refused(broker, await testLaunch('evil', [joined]), /serves no folder to "evil"/);
  await refused(
    broker,
    await testLaunch('evil', [{ ...joined, machine: 'qward-fs-0123456789abcdef' }]),
    /serves no folder to "evil"/,
  );
  const words = [
    '-object memory-backend-memfd,id=m,size=32M,share=on,seal=off -numa node,memdev=m',
    '-chardev socket,id=fs,fd=4 -device vhost-user-fs-pci,chardev=fs,tag=data',
  ].flatMap((line) => line.split(' '));
  const qemu = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one', [joined], words) });
  assert.ok(qemu.ok, JSON.stringify(qemu));
  const { pid, uid } = reply.result;
  const proc = `/proc/${pid}`;
  const until = performance.now() + 20_000;
  while (!/^CapBnd:\t0+$/m.test(readFileSync(`${proc}/status`, 'utf8')) && performance.now() < until);
  const status = readFileSync(`${proc}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\t${uid}(?:\\t${uid}){3}$`, 'm'));
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0+$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp_filters:\t2$/m);
  assert.deepEqual(readFileSync(`${proc}/uid_map`, 'utf8').trim().split(/\s+/), ['0', String(uid), '1']);
  for (const namespace of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'])
    assert.notEqual(readlinkSync(`${proc}/ns/${namespace}`), readlinkSync(`/proc/self/ns/${namespace}`));
  assert.deepEqual(readdirSync(`${proc}/root`), ['own']);
  const { uid: still, mode } = lstatSync(`${own}/own`);
  assert.deepEqual([still, mode & 0o7777], [alice, 0o600]);
  for (const machine of ['one', job]) await broker.ask({ v: 1, call: 'kill', machine });
  assert.deepEqual(traces(broker.site), []);
});

// SECURITY: promise 4. What was agreed to when the server began holds no longer than the agreement.
test('nobody is joined to a folder whose claim was taken back, and its name is nobody else’s while it is served', async () => {
  await using broker = await startTestBroker();
  const own = `${base}/alice/data`;
  claim(broker, 'one', own);
  const reply = await broker.ask({ v: 1, call: 'launch', launch: await launchOf(folder(own)) });
  assert.ok(reply.ok, JSON.stringify(reply));
  const forgotten = await broker.ask({ v: 1, call: 'forget', machine: 'one' });
  assert.ok(!forgotten.ok, 'a machine with a server is not forgotten');
  const register = openClaims(`${broker.site.paths.brokerState}/claims.json`, () => new Date());
  register.remove({ machine: 'one', uid: alice }, null);
  const joined = { kind: 'netdev', machine: job, socket: 'share' } as const;
  await refused(broker, await testLaunch('one', [joined]), /did not claim/);
  await broker.ask({ v: 1, call: 'kill', machine: job });
  assert.deepEqual(traces(broker.site), []);
});

// SECURITY: promise 1. Each of these once made a broker that did nothing else any more.
test('a helper that serves itself, or another helper, is refused, and the broker answers at once', async () => {
  await using broker = await startTestBroker();
  const own = `${base}/alice/data`;
  claim(broker, 'one', own);
  claim(broker, job, own);
  const other = shareJob('one', 'other');
  for (const machine of [job, other])
    await refused(
      broker,
      await launchOf(folder(own), { descriptors: [{ kind: 'netdev', machine, socket: 'share' }] }),
      /would serve what serves machines/,
    );
  await refused(broker, await testLaunch(job), /would serve what serves machines/);
  const plain = await testLaunch('one');
  await refused(
    broker,
    {
      ...plain,
      machine: 'qward-net-aaaaaaaaaaaa',
      program: 'passt',
      descriptors: [{ kind: 'netdev', machine: 'qward-net-aaaaaaaaaaaa', socket: 'net0' }],
    },
    /would serve what serves machines/,
  );
  const status = await broker.ask({ v: 1, call: 'status' });
  assert.ok(status.ok);
  assert.deepEqual(traces(broker.site), []);
});
