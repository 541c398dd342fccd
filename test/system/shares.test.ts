/** Shared folders of a machine: a guest mounts, writes and reads them, and virtiofsd comes and goes with its machine whatever dies. */
import assert from 'node:assert/strict';
import { chownSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { consoleShows, defineDemo, done, refused, remains, statusOf, untilGone } from '../support/driver.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';
import { sendKill } from '../support/send-kill.ts';
import { livesOn, until } from '../support/until.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const data = `${instance.paths.images}/data`;
const docs = `${instance.paths.images}/docs`;
/** Nobody on this host; the folder is theirs. */
const owner = 910_000_041;

const inGuest = (command: string): Promise<string> => guestRuns(instance, 'web', command);
interface Slots {
  readonly slots: Readonly<Record<string, number>>;
}
const servers = (): string[] => {
  const { slots } = JSON.parse(readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8')) as Slots;
  return Object.keys(slots).filter((name) => name.startsWith('qward-fs-'));
};
const pidsOf = (): readonly number[] =>
  servers().map((name) => {
    const text = readFileSync(`${instance.paths.brokerRun}/machines/${name}.json`, 'utf8');
    return (JSON.parse(text) as { readonly pid: number }).pid;
  });
async function begin(): Promise<void> {
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /ready[\s\S]*# /, { replay: false });
  assert.equal(
    await inGuest(
      'mkdir -p /tmp/a /tmp/b; mount -t virtiofs data /tmp/a && mount -t virtiofs docs /tmp/b && echo mounted',
    ),
    'mounted',
  );
}

before(async () => {
  for (const folder of [data, docs]) mkdirSync(folder);
  writeFileSync(`${data}/from-host`, 'hello from the host\n', { mode: 0o600 });
  for (const path of [data, `${data}/from-host`]) chownSync(path, owner, owner);
  writeFileSync(`${docs}/read-me`, 'to be read\n', { mode: 0o644 });
  writeFileSync(`${docs}/secret`, 'of root\n', { mode: 0o600 });
  await defineDemo(instance, {
    name: 'web',
    switches: 'qward.shares',
    more: `shares:\n  - { tag: data, path: ${data} }\n  - { tag: docs, path: ${docs}, readonly: true }`,
  });
  await begin();
});

// SECURITY: promise 3. What the guest makes is the owner's of the folder, and nothing else changes its owner or mode.
test('the guest reads and writes, and its files are the owner’s', async () => {
  assert.equal(
    await inGuest('cat /tmp/a/from-host; stat -c %u:%g /tmp/a/from-host'),
    'hello from the host\n0:0',
  );
  await inGuest(
    'echo from the guest >/tmp/a/from-guest; mkdir /tmp/a/d; mv /tmp/a/from-guest /tmp/a/d/x; sync',
  );
  assert.equal(readFileSync(`${data}/d/x`, 'utf8'), 'from the guest\n');
  for (const path of [data, `${data}/d`, `${data}/d/x`, `${data}/from-host`]) {
    const { uid, gid } = lstatSync(path);
    assert.deepEqual([path, uid, gid], [path, owner, owner]);
  }
  assert.equal(lstatSync(`${data}/from-host`).mode & 0o7777, 0o600);
});

test('the audit sees the walls, explain and status say that they are there', async () => {
  const report = JSON.parse(await done(instance, 'audit web --json')) as AuditReport;
  assert.ok(report.ok);
  assert.deepEqual(
    report.helpers?.map(({ machine, ok }) => [machine, ok]),
    [
      ['web, share data', true],
      ['web, share docs', true],
    ],
  );
  assert.match(await done(instance, 'explain web'), /Beside it, for share data\n +\S*virtiofsd/);
  assert.match(await done(instance, 'status web'), /beside it +share data up; share docs up/);
});

test('what is to be read cannot be written, and of what is root’s only what everybody may read', async () => {
  assert.equal(await inGuest('cat /tmp/b/read-me'), 'to be read');
  assert.match(await inGuest('cat /tmp/b/secret 2>&1'), /Permission denied/);
  assert.match(await inGuest('mount -o remount,rw /tmp/b; echo x 2>&1 >/tmp/b/x'), /Read-only|denied/);
  assert.match(await inGuest('rm -f /tmp/b/read-me 2>&1; chmod 777 /tmp/b/read-me 2>&1'), /Read-only/);
});

// SECURITY: promise 4. Nothing that a guest leaves in a folder has more rights on the host than its owner has.
test('no device, no set-uid file, no other owner, no link that leads out', async () => {
  for (const command of [
    'mknod /tmp/a/dev b 8 0',
    'mknod /tmp/a/dev c 1 1',
    'cp /bin/busybox /tmp/a/su; chmod 4755 /tmp/a/su',
    'chmod 2755 /tmp/a/su',
    'chown 1000 /tmp/a/su',
    'chgrp 1000 /tmp/a/su',
  ])
    assert.match(await inGuest(`{ ${command}; } 2>&1`), /not permitted|Invalid argument/, command);
  const { uid, mode } = lstatSync(`${data}/su`);
  assert.deepEqual([uid, mode & 0o6000], [owner, 0]);
  assert.equal(await inGuest('ls /tmp/a/dev 2>/dev/null'), '');
  // It is the guest that follows a link, in its own root.
  await inGuest(`ln -s ${docs}/secret /tmp/a/out; ln -s ../docs/secret /tmp/a/up`);
  for (const name of ['out', 'up']) assert.match(await inGuest(`cat /tmp/a/${name} 2>&1`), /No such file/);
  await inGuest('chmod 777 /tmp/a; echo "u:x:1000:1000::/:/bin/sh" >>/etc/passwd');
  assert.match(
    await inGuest(
      'mkdir -p /etc; echo "u:x:1000:1000::/:/bin/sh" >/etc/passwd; su u -c "touch /tmp/a/of-u" 2>&1',
    ),
    /not permitted|Invalid argument|denied/,
  );
});

test('a machine with a share is not saved, and says why', async () => {
  assert.match(await refused(instance, 'save web'), /has shared folders/);
  assert.match(await refused(instance, 'snapshot create web one'), /has shared folders/);
  assert.equal((await statusOf(instance, 'web')).state, 'running');
});

test('a manager and a broker that are killed leave it as it is, and take it over', async () => {
  const before = pidsOf();
  for (const daemon of ['manager', 'broker'] as const) {
    await killProcess(instance.daemon(daemon));
    await instance.up();
  }
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  assert.deepEqual(pidsOf(), before);
  assert.equal(await inGuest('cat /tmp/a/d/x'), 'from the guest');
  assert.match(await done(instance, 'audit web'), /web, share data {2}pid \d+ {2}\d+ walls stand/);
});

test('when a virtiofsd is killed the machine and the other share go on, and the next start has it again', async () => {
  const { pid } = await statusOf(instance, 'web');
  sendKill(pidsOf()[0]);
  const down = async () => (await statusOf(instance, 'web')).beside.filter(({ fault }) => fault !== null);
  await until(async () => (await down()).length === 1, 'it is not seen');
  const now = await statusOf(instance, 'web');
  assert.deepEqual([now.pid, now.state], [pid, 'running']);
  const [lost] = await down();
  assert.match(lost?.fault ?? '', /virtiofsd ended.*after a stop and a start/);
  const other = lost?.name === 'share data' ? 'cat /tmp/b/read-me' : 'cat /tmp/a/d/x';
  assert.notEqual(await inGuest(other), '');
  await until(() => servers().length === 1, 'a uid is kept');
  await done(instance, 'kill web');
  await begin();
});

test('nothing is left when QEMU is killed, nor after manager, broker, QEMU and virtiofsd are', async () => {
  for (const victims of [[], ['manager', 'broker']] as const) {
    const [{ pid }, pids, names] = [await statusOf(instance, 'web'), pidsOf(), servers()];
    assert.equal(pids.length, 2);
    for (const victim of victims) await killProcess(instance.daemon(victim));
    sendKill(pid);
    if (victims.length > 0) sendKill(pids[0]);
    if (victims.length > 0) await instance.up();
    await untilGone(instance, 'web');
    for (const name of names) await untilGone(instance, name);
    await until(() => servers().length === 0, 'a uid is kept');
    for (const one of pids) await until(() => !livesOn(one), 'virtiofsd lives on');
    await begin();
  }
  await done(instance, 'kill web');
});

test('root’s folder to be written, and a host without virtiofsd, are refused with the cure', async () => {
  await done(instance, ['set', 'web', 'shares.0.readonly=false']).catch(() => undefined);
  chownSync(data, 0, 0);
  assert.match(await refused(instance, 'start web'), /is root's, or no folder/);
  assert.deepEqual(servers(), []);
  chownSync(data, owner, owner);
  instance.writePolicy({ shareServers: ['/usr/lib/qemu/none'] });
  assert.match(await refused(instance, 'start web'), /need virtiofsd[\s\S]*apt install qemu-system-common/);
  assert.deepEqual(remains(instance, 'web'), []);
});
