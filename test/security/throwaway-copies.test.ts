/** Promises 4 and 7 for copies of saved machines: whose state they may be of, and what two machines cannot both go on with. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import { definitionKeys } from '../../src/definition/definition-keys.ts';
import type { JsonSchema } from '../../src/definition/json-schema.ts';
import { lackingForCopies, onlyOnce } from '../../src/manager/throwaway/saved-copy.ts';
import { asUser } from '../support/as-user.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { checkout } from '../support/checkout.ts';
import { createDemoDisk } from '../support/demo-guest.ts';
import { run, type CommandOutcome } from '../support/instance.ts';
import { rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft, throwawayThatRuns } from '../support/throwaways.ts';

const users = { maker: 911_300_011, other: 911_300_012 } as const;
type User = keyof typeof users;
const instance = await startWithAccounts([
  { name: 'maker', uid: users.maker },
  { name: 'other', uid: users.other },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['maker', 'other'], groups: [] } });
rememberNoKvm(instance);

const home = join(instance.directory, 'maker');
mkdirSync(home, { mode: 0o700 });
chownSync(home, users.maker, users.maker);
const disk = join(home, 'warm.qcow2');
createDemoDisk(disk);
chownSync(disk, users.maker, users.maker);
const states = `${instance.paths.managerState}/saved/warm`;
/** Its guest says nothing, and is asked nothing. */
const lines = 'name: warm\naccel: tcg\nmemory: 32MiB\nrunner: true\ngenerationId: auto\n';
const source = `${lines}disks: [{id: root, path: ${disk}, format: qcow2}]\n`;

const asProgram = (user: User, program: readonly string[], stdin = ''): Promise<CommandOutcome> =>
  run([...asUser({ uid: users[user] }), ...program], { ...instance.environment, HOME: home }, { stdin });
const as = (user: User, words: string, stdin?: string): Promise<CommandOutcome> =>
  asProgram(user, [...instance.program, ...words.split(' ')], stdin);

async function succeed(user: User, words: string, stdin?: string): Promise<void> {
  const { status, stderr } = await as(user, words, stdin);
  assert.equal(status, 0, `${words}: ${stderr}`);
}

/** A client that asks for nothing but the copy. */
const client = `
import { connect } from 'node:net';
import { WebSocket } from '${checkout}/node_modules/ws/wrapper.mjs';
const [, path, wish] = process.argv;
const socket = new WebSocket('ws://qward/v1/run', { createConnection: () => connect(path) });
socket.on('error', (error) => console.log(error.message));
socket.on('message', (data) => {
  console.log(String(data));
  if (JSON.parse(data).notice === 'named') socket.send(wish);
});`;

/** What the manager says, until it closes. */
async function ask(user: User, from: string, more: object = {}): Promise<string> {
  const wish = JSON.stringify({ from, ttlMs: 2000, ...more });
  const node = [process.execPath, '--input-type=module', '-e', client, instance.paths.apiSocket, wish];
  return (await asProgram(user, node)).stdout;
}

/** What a copy must leave as it is, to owner and mode. */
function asTheyAre(): readonly unknown[] {
  return [disk, ...readdirSync(states).map((file) => join(states, file))].map((path) => {
    const { uid, gid, mode, ino, size, mtimeMs } = statSync(path);
    return [path, uid, gid, mode, ino, size, mtimeMs, readFileSync(path).toString('base64')];
  });
}

before(async () => {
  await succeed('maker', 'define -', source);
  await succeed('maker', 'start warm');
  await succeed('maker', 'save warm');
});

test('a saved machine of another is not there, and a right short of its owner’s gives no copy', async () => {
  const [unknown, others] = [await ask('other', 'nobody'), await ask('other', 'warm')];
  for (const said of [unknown, others]) {
    assert.match(said, /"code":"machine-unknown"/, said);
    assert.doesNotMatch(said, /"starting"|"started"/);
  }
  assert.match((await as('other', 'run --from warm true')).stderr, /there is no machine "warm"/);
  await succeed('maker', 'grant warm other operate');
  assert.match(await ask('other', 'warm'), /"code":"not-allowed".*right \\"define\\"/);
  await succeed('maker', 'revoke warm other');
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a copy gets no file by its owner’s claims on the saved machine: whoever asks claims anew', async () => {
  assert.match(await ask('maker', 'warm'), /warm\.qcow2.*claim/);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a copy after an edit is asked for by the files of what was saved', async () => {
  const other = join(home, 'other.qcow2');
  createDemoDisk(other);
  chownSync(other, users.maker, users.maker);
  await succeed('maker', `set warm disks.root.path=${other}`);
  // The edit took the claim back: without it the saved machine would not go on either.
  await succeed('maker', `claim warm ${disk} --rw`);
  const { stderr } = await as('maker', 'run --from warm --ttl 4s true');
  await succeed('maker', `set warm disks.root.path=${disk}`);
  assert.match(stderr, /its time is over/);
});

test('a copy writes neither to the state nor to a disk of the saved machine, and has the walls of any machine', async () => {
  const untouched = asTheyAre();
  const running = as('maker', 'run --from warm --ttl 4s true');
  const { name, pid, owner } = await throwawayThatRuns(instance);
  assert.equal(owner, 'maker');
  await succeed('maker', `audit ${name}`);
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  assert.doesNotMatch(words, /"guid":"auto"/);
  assert.match((await running).stderr, /its time is over/);
  assert.deepEqual(asTheyAre(), untouched);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a description of more than a line is refused, in the history too, and is no fault of qward', async () => {
  for (const description of ['a\nb', 'a\u001b[2J', 'x'.repeat(201)]) {
    const said = await ask('maker', 'warm', { description });
    assert.match(said, /"code":"request-invalid".*one line of text|"code":"request-invalid".*200/, said);
  }
  const { stdout } = await as('maker', 'history --json --limit 1');
  assert.match(stdout, /"call": "run"[^]*"code": "request-invalid"/);
});

test('no copy is made of what two machines cannot both go on with', () => {
  const refused = (more: string): string => {
    const parsed = parseDefinition(`${lines}${more}`);
    assert.ok(parsed.ok, JSON.stringify(parsed));
    return lackingForCopies(parsed.definition)?.[0] ?? '';
  };
  assert.equal(refused(''), '');
  const tried = [
    ['nics: [{id: lan, kind: user}]', 'nics'],
    ['shares: [{tag: a, path: /srv}]', 'shares'],
    ['hostDevices: [{id: a, pci: "0000:03:00.0"}]', 'hostDevices'],
    ['tpm: true', 'tpm'],
    ['vsock: {cid: 33}', 'vsock'],
    ['firmware: uefi', 'firmware'],
    ['disks: [{id: a, path: /srv/a, format: raw, shared: true}]', 'disks[].shared'],
    ['disks: [{id: a, path: /srv/a, format: raw, bus: scsi, readonly: true, rawio: true}]', 'disks[].rawio'],
    ['sound: {model: ich9, server: /run/pulse}', 'sound.server'],
    ['hooks: {start: prepare}', 'hooks.start'],
    ['hooks: {stop: tidy}', 'hooks.stop'],
    ['qemu: {args: [-drive, file=/srv/x]}', 'qemu.args'],
    ['qemu: {env: [{name: A}]}', 'qemu.env'],
    ['qemu: {qmp: [{execute: blockdev-add}]}', 'qemu.qmp'],
    ['confinement: {files: [{path: /srv/x, access: rw}]}', 'confinement.files[].access'],
    ['confinement: {devices: [/dev/foo]}', 'confinement.devices'],
    ['confinement: {sockets: [{path: /run/blk.sock}]}', 'confinement.sockets'],
  ] as const;
  for (const [more, key] of tried)
    assert.equal(refused(`${more}\n`).replace(/.*cannot both go on with: /, ''), key, more);
  assert.deepEqual(
    onlyOnce.map(([key]) => key),
    tried.map(([, key]) => key),
  );
});

/** What copies have as their saved machine has it: the guest's view, how long it lives, and what is only read or lies under an overlay. */
const same =
  `name title description uuid tags machine machineVersion accel generationId memory memoryMaximum memorySlots
  secureBoot iothreads console vnc clipboard tpmModel panic rng balloon agent runner onHostShutdown onCrash onReboot onPowerOff rawio
  onAuditFailure disks cdroms boot sound hooks qemu confinement
  platform.* cpu.* clock.* smbios.* memoryBacking.* numa.* scsiControllers.* serials.* channels.* video.* moreVideo.* inputs.* usb.*
  watchdog.* iommu.* rngOptions.* balloonOptions.* stop.* autostart.* restart.* limits.* hotplug.*
  boot.kernel boot.initrd boot.cmdline boot.order boot.menu cdroms[].id cdroms[].path cdroms[].bus cdroms[].serial sound.model sound.codec
  disks[].id disks[].path disks[].format disks[].bus disks[].readonly disks[].cache disks[].aio disks[].discard disks[].detectZeroes
  disks[].copyOnRead disks[].errors.* disks[].serial disks[].wwn disks[].vendor disks[].product disks[].removable disks[].rotationRate
  disks[].blockSize.* disks[].discardGranularity disks[].queues disks[].queueSize disks[].iothread disks[].controller disks[].unit
  disks[].limits.* disks[].backing disks[].backing[].path disks[].backing[].format
  confinement.files confinement.files[].path confinement.files[].reason confinement.files[].until confinement.seccomp.*
  confinement.namespaces.* confinement.deviceCgroup.* confinement.user.* confinement.selinux.* confinement.apparmor.*
  confinement.capabilities.*`.split(/\s+/);

test('of each key of a definition it is decided whether copies can have it, and of each path by name', () => {
  const below = (group: string, key: string): boolean =>
    key === group || key.startsWith(`${group}.`) || key.startsWith(`${group}[]`);
  const groups = same.flatMap((key) => (key.endsWith('.*') ? [key.slice(0, -2)] : []));
  const isPath = ({ title, items }: JsonSchema): boolean =>
    title === 'path' || (typeof items === 'object' && 'title' in items && items.title === 'path');
  const undecided = definitionKeys().filter(
    ({ key, schema }) =>
      !same.includes(key) &&
      !onlyOnce.some(([once]) => below(once, key)) &&
      (isPath(schema) || !groups.some((group) => below(group, key))),
  );
  assert.deepEqual(
    undecided.map(({ key }) => key),
    [],
    'a key is in onlyOnce (saved-copy.ts), or said here to be the same for every copy',
  );
});
