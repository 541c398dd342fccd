/** Promises 3, 4 and 7 and rule guest for throwaway machines: who may have one, from which files, and what a guest can say to its runner's place. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { apiAs } from '../support/api-as.ts';
import { asUser } from '../support/as-user.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { createDemoDisk } from '../support/demo-guest.ts';
import { addHostileRunner } from '../support/guest-runner.ts';
import { run, type CommandOutcome } from '../support/instance.ts';
import { rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft, throwawayThatRuns, untilNoneIsLeft } from '../support/throwaways.ts';

const users = { maker: 911_300_001, other: 911_300_002, operator: 911_300_003, nobody: 911_300_004 } as const;
type User = keyof typeof users;
const instance = await startWithAccounts([
  { name: 'maker', uid: users.maker },
  { name: 'other', uid: users.other },
  { name: 'otto', uid: users.operator, groups: ['qward-operators'] },
  { name: 'nina', uid: users.nobody },
]);
after(() => instance[Symbol.asyncDispose]());
const policy = { define: { users: ['maker', 'other'], groups: [] } };
instance.writePolicy(policy);
rememberNoKvm(instance);

const home = join(instance.directory, 'maker');
mkdirSync(home, { mode: 0o700 });
chownSync(home, users.maker, users.maker);
const own = join(home, 'own.qcow2');
createDemoDisk(own);
chownSync(own, users.maker, users.maker);
const secret = join(instance.directory, 'secret');
writeFileSync(secret, 'secret\n'.repeat(1000), { mode: 0o600 });

const as = (user: User, words: readonly string[]): Promise<CommandOutcome> =>
  run([...asUser({ uid: users[user] }), ...instance.program, ...words], {
    ...instance.environment,
    HOME: home,
  });
const bare = (image: string, ...more: string[]): readonly string[] => [
  'run',
  image,
  '--memory',
  '32MiB',
  ...more,
  'true',
];

/** The user's image: whose it is, what it is, and what is in it. */
function fileAsItIs(): readonly unknown[] {
  const { uid, gid, mode, ino, size, mtimeMs } = statSync(own);
  return [uid, gid, mode, ino, size, mtimeMs, readFileSync(own).toString('base64')];
}

test('who may define no machine has no throwaway one', async () => {
  for (const [user, fault] of [
    ['nobody', /has no rights here/],
    ['operator', /otto may not define machines/],
  ] as const) {
    const { status, stderr } = await as(user, bare(own));
    assert.equal(status, 255);
    assert.match(stderr, fault);
  }
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a user’s image in a closed home is read by the user’s claim, and stays what it was, to its owner and mode', async () => {
  const before = fileAsItIs();
  const running = as('maker', bare(own, '--ttl', '3s'));
  const machine = await throwawayThatRuns(instance);
  assert.equal(machine.owner, 'maker');
  const path = `/v1/machines/${machine.name}`;
  const see = (user: User): Promise<string | undefined> =>
    apiAs(instance, users[user], { method: 'GET', path }).then(({ code }) => code);
  assert.equal(await see('maker'), undefined);
  assert.equal(await see('other'), 'machine-unknown');
  const killed = await apiAs(instance, users.other, { method: 'POST', path: `${path}/kill` });
  assert.equal(killed.code, 'machine-unknown');
  assert.match(readFileSync(`${instance.paths.brokerState}/claims.json`, 'utf8'), new RegExp(machine.name));
  for (const [method, call, body] of [
    ['PUT', '/definition', { source: `name: ${machine.name}\n` }],
    ['POST', '/set', { changes: [{ key: 'memory', value: '1GiB' }] }],
    ['POST', '/rename', { to: 'mine' }],
    ['POST', '/clone', { to: 'mine' }],
    ['POST', '/grant', { who: 'other', rights: ['console'] }],
    ['DELETE', '', undefined],
  ] as const) {
    const { code, text } = await apiAs(instance, users.maker, { method, path: `${path}${call}`, body });
    assert.equal(code, 'request-invalid', `${call}: ${text}`);
    assert.match(text, /is a throwaway machine/);
  }
  const { status, stderr } = await running;
  assert.deepEqual([status, /its time is over/.test(stderr)], [255, true], stderr);
  assert.deepEqual(await throwawaysLeft(instance), []);
  assert.deepEqual(fileAsItIs(), before);
});

test('no file comes in that its user could not open', async () => {
  for (const words of [
    bare(secret),
    bare(`${instance.paths.managerState}/history.db`),
    bare(own, '--kernel', secret),
    bare(own, '--kernel', '/etc/shadow'),
  ]) {
    const { status, stderr } = await as('maker', words);
    assert.equal(status, 255, words.join(' '));
    assert.match(stderr, /may not|cannot|did not claim|not allowed|refused|qward's own|outside/, stderr);
  }
  const { status } = await as('other', bare(own));
  assert.equal(status, 255, 'nor an image of another');
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a quota holds for throwaway machines: who has used it up waits for the own ones, and nobody else does', async () => {
  instance.writePolicy({ ...policy, quotas: [{ who: { users: ['maker'], groups: [] }, machines: 1 }] });
  const first = as('maker', bare(own, '--ttl', '6s'));
  await throwawayThatRuns(instance);
  const second = as('maker', bare(own, '--ttl', '1s'));
  await delay(2000);
  const listed = await instance.client.call('list');
  assert.equal(listed.ok && listed.result.length, 1, JSON.stringify(listed));
  for (const outcome of [await first, await second]) assert.match(outcome.stderr, /its time is over/);
  instance.writePolicy({ ...policy, quotas: [{ who: { users: ['maker'], groups: [] }, memory: '16MiB' }] });
  assert.match((await as('maker', bare(own))).stderr, /the quota of user maker/);
  instance.writePolicy(policy);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

/** What the manager answers to these frames, until it closes. */
async function say(frames: (name: string) => readonly (string | Buffer)[]): Promise<string> {
  const socket = new WebSocket('ws://qward/v1/run', {
    createConnection: () => connect(instance.paths.apiSocket),
  });
  const heard: string[] = [];
  socket.on('error', () => undefined);
  socket.on('message', (data: Buffer) => {
    const text = data.toString('utf8');
    heard.push(text);
    const { notice, name } = JSON.parse(text) as { notice: string; name: string };
    if (notice === 'named') for (const frame of frames(name)) socket.send(frame);
  });
  await new Promise((resolve) => socket.once('close', resolve));
  return heard.join('\n');
}

test('a client that says anything else than a wish gets no machine', async () => {
  const source = (name: string, more = ''): string => `name: ${name}\nmemory: 32MiB\naccel: tcg\n${more}`;
  const vars = instance.paths.vars;
  const wishes: readonly (readonly [string, (name: string) => string | Buffer, RegExp])[] = [
    ['bytes', () => Buffer.from([1, 2, 3]), /text expected first/],
    ['no JSON', () => '{', /not JSON/],
    ['another shape', () => '[]', /request-invalid/],
    ['another key', (name) => JSON.stringify({ source: source(name), root: true }), /request-invalid/],
    ['no time', (name) => JSON.stringify({ source: source(name), ttlMs: 0 }), /request-invalid/],
    ['for ever', (name) => JSON.stringify({ source: source(name), ttlMs: 1e12 }), /request-invalid/],
    ['another name', () => JSON.stringify({ source: source('web') }), /name: .*expected/],
    ['faults', (name) => JSON.stringify({ source: source(name, 'colour: red\n') }), /colour/],
    [
      'a file of qward’s own',
      (name) =>
        JSON.stringify({
          source: source(name, `disks: [{id: a, path: ${vars}/x.qcow2, format: qcow2, readonly: true}]`),
        }),
      /qward's own/,
    ],
    [
      'an overlay over a file of qward’s own',
      (name) =>
        JSON.stringify({ source: source(name, `disks: [{id: a, path: ${vars}/x.qcow2, format: qcow2}]`) }),
      /qward's own/,
    ],
  ];
  for (const [what, wish, answer] of wishes) {
    const heard = await say((name) => [wish(name)]);
    assert.match(heard, answer, `${what}: ${heard}`);
    assert.doesNotMatch(heard, /"starting"|"started"/, what);
  }
  assert.deepEqual(await throwawaysLeft(instance), []);
});

/** Of the manager, KiB. */
const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

test('whatever a guest says in its runner’s place, its own run ends or waits, and nothing else', async () => {
  const guest = addHostileRunner(instance.guest, join(instance.paths.images, 'initrd-hostile.cpio'));
  const base = instance.disk('base');
  const hostile = (kind: string): Promise<CommandOutcome> => {
    const cmdline = `${guest.cmdline} qward.hostile=${kind}`;
    const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--cmdline', cmdline];
    const ttl = kind === 'silence' ? '15s' : '100s';
    return instance.qward(['run', base, ...boot, '--memory', '96MiB', '--ttl', ttl, 'true'], {
      timeoutMs: 120_000,
    });
  };
  const before = residentOf(instance.daemon('manager'));
  const told = await Promise.all([
    hostile('garbage'),
    hostile('flood'),
    hostile('stranger'),
    hostile('silence'),
  ]);
  const [garbage, flood, stranger, silence] = told.map(({ stderr }) => stderr);
  assert.match(garbage ?? '', /something else than the runner spoke/);
  assert.match(flood ?? '', /a frame of \d+ bytes|of a kind that there is not|does not run/);
  assert.match(stranger ?? '', /of a command that does not run/);
  assert.match(silence ?? '', /its time is over/);
  for (const { status } of told) assert.equal(status, 255);
  const grown = residentOf(instance.daemon('manager')) - before;
  assert.ok(grown < 60 * 1024, `the manager grew by ${grown} KiB`);
  await untilNoneIsLeft(instance);
});
