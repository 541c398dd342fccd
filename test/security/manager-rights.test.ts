/** Promise 4 over the real socket with real uids: each role gets its rights and no other, and what one may not see is absent. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { historyOf } from '../support/history.ts';
import { groupIdsOfTests, startWithAccounts } from '../support/accounts.ts';
import { asUser } from '../support/as-user.ts';
import { run, type CommandOutcome, type Instance } from '../support/instance.ts';
import { define, killProcess, smallMachine, start, statusOf } from '../support/small-machine.ts';

const uids = { admin: 911_000_001, operator: 911_000_002, owner: 911_000_003, nobody: 911_000_004 } as const;
type User = keyof typeof uids;

const accounts = [
  { name: 'alice', uid: uids.admin, groups: ['qward-admin'] },
  { name: 'otto', uid: uids.operator, groups: ['qward-operators'] },
  { name: 'olga', uid: uids.owner },
  { name: 'nina', uid: uids.nobody },
] as const;

const as = (
  instance: Instance,
  user: User,
  words: readonly string[],
  options: { readonly groups?: readonly number[]; readonly stdin?: string } = {},
): Promise<CommandOutcome> =>
  run(
    [...asUser({ uid: uids[user], groups: options.groups ?? [] }), ...instance.program, ...words],
    // The compile cache is the harness's.
    { ...instance.environment, NODE_COMPILE_CACHE: '' },
    options.stdin === undefined ? {} : { stdin: options.stdin },
  );

/** Only administrators define machines yet: a machine gets another owner by its file, as an import would give it. */
async function giveTo(instance: Instance, name: string, uid: number): Promise<void> {
  const file = `${instance.paths.managerState}/machines/${name}.json`;
  const metadata = JSON.parse(readFileSync(file, 'utf8')) as object;
  await killProcess(instance.daemon('manager'));
  writeFileSync(file, JSON.stringify({ ...metadata, owner: uid }));
  chownSync(file, instance.managerUid, instance.managerUid);
}

const refused = 4;
const notFound = 3;

interface Trial {
  readonly words: readonly string[];
  /** Exit status for each user who is not granted it; 0 for the others. */
  readonly deny: Readonly<Partial<Record<User, number>>>;
  readonly stdin?: string;
}

/** Machine `hers` is olga's, `billing` root's. In the order of the rows. */
const trials: readonly Trial[] = [
  { words: ['list'], deny: { nobody: refused } },
  { words: ['status', 'hers', '--json'], deny: { nobody: refused } },
  { words: ['logs', 'hers'], deny: { nobody: refused } },
  { words: ['pause', 'hers'], deny: { nobody: refused } },
  { words: ['resume', 'hers'], deny: { nobody: refused } },
  { words: ['audit', 'hers'], deny: { nobody: refused } },
  { words: ['monitor', 'hers', 'info status'], deny: { nobody: refused, operator: refused } },
  { words: ['qmp', 'hers', 'query-status'], deny: { nobody: refused, operator: refused } },
  { words: ['set', 'hers', 'description=new'], deny: { nobody: refused, operator: refused } },
  { words: ['pause', 'billing'], deny: { nobody: refused, owner: notFound } },
  { words: ['discard-state', 'billing'], deny: { nobody: refused, owner: notFound } },
  { words: ['resume', 'billing'], deny: { nobody: refused, owner: notFound } },
  { words: ['show', 'billing'], deny: { nobody: refused, owner: notFound } },
  { words: ['logs', 'billing'], deny: { nobody: refused, owner: notFound } },
  { words: ['explain', 'billing'], deny: { nobody: refused, owner: notFound } },
  {
    words: ['monitor', 'billing', 'info status'],
    deny: { nobody: refused, operator: refused, owner: notFound },
  },
  {
    words: ['set', 'billing', 'description=new'],
    deny: { nobody: refused, operator: refused, owner: notFound },
  },
  { words: ['audit', '--pid', 'PID'], deny: { nobody: refused, operator: refused, owner: refused } },
  {
    words: ['define', '-', '--replace'],
    stdin: smallMachine('fresh'),
    deny: { nobody: refused, operator: refused, owner: refused },
  },
  {
    words: ['define', '-', '--replace'],
    stdin: smallMachine('billing'),
    deny: { nobody: refused, operator: refused, owner: refused },
  },
];

test('each role gets its rights over the socket, and no other', async () => {
  await using instance = await startWithAccounts(accounts);
  for (const name of ['hers', 'billing']) await define(instance, smallMachine(name));
  const pid = await start(instance, 'billing');
  await start(instance, 'hers');
  await giveTo(instance, 'hers', uids.owner);
  await restartManager(instance);

  for (const { words, deny, stdin } of trials) {
    const real = words.map((word) => (word === 'PID' ? String(pid) : word));
    const outcomes = await Promise.all(
      (Object.keys(uids) as User[]).map(async (user) => {
        const outcome = await as(instance, user, real, stdin === undefined ? {} : { stdin });
        return [user, outcome.status, outcome] as const;
      }),
    );
    for (const [user, status, { stdout, stderr }] of outcomes)
      assert.equal(status, deny[user] ?? 0, `${user}: ${real.join(' ')}: ${stdout}${stderr}`);
  }
  assert.equal((await statusOf(instance, 'billing')).pid, pid);
});

/** Within the namespace that it died in: its accounts are bound there. */
async function restartManager(instance: Instance): Promise<void> {
  const broker = String(instance.daemon('broker'));
  const outcome = await run(
    [
      '/usr/bin/nsenter',
      '--target',
      broker,
      '--mount',
      ...instance.program,
      'host',
      'up',
      ...instance.hostFlags,
    ],
    instance.environment,
  );
  assert.equal(outcome.status, 0, outcome.stderr);
}

test('machines of others are absent, not forbidden: every answer is that of a name that does not exist', async () => {
  await using instance = await startWithAccounts(accounts);
  for (const name of ['hers', 'billing']) await define(instance, smallMachine(name));
  await giveTo(instance, 'hers', uids.owner);
  await restartManager(instance);
  assert.doesNotMatch((await as(instance, 'owner', ['list'])).stdout, /billing/);
  assert.match((await as(instance, 'owner', ['list'])).stdout, /hers/);
  assert.equal(
    (JSON.parse((await as(instance, 'owner', ['info', '--json'])).stdout) as { machines: number }).machines,
    1,
  );
  for (const verb of ['status', 'start', 'kill', 'logs', 'show', 'explain', 'audit']) {
    const [billing, absent] = await Promise.all(
      ['billing', 'absent'].map((name) => as(instance, 'owner', [verb, name])),
    );
    const words = ({ status, stdout, stderr }: CommandOutcome): string =>
      `${status} ${stdout}${stderr}`.replaceAll('billing', 'absent');
    assert.equal(words(billing ?? missing), words(absent ?? missing), verb);
    assert.equal(absent?.status, notFound);
  }
  // Who has no role at all does not even learn that a name is not there.
  const [there, nowhere] = await Promise.all(
    ['billing', 'absent'].map((name) => as(instance, 'nobody', ['status', name])),
  );
  assert.equal(there?.stderr.replaceAll('billing', 'absent'), nowhere?.stderr);
  const changes = await historyOf(
    instance,
    ({ machine, code }) => machine === 'billing' && code === 'machine-unknown',
  );
  assert.ok(
    changes.some(
      ({ uid, call, machine, code }) =>
        uid === uids.owner && call === 'start' && machine === 'billing' && code === 'machine-unknown',
    ),
  );
});

test('what machines of others are made of is in no answer about the host: doctor, disk list', async () => {
  await using instance = await startWithAccounts(accounts);
  const shown = `${instance.paths.images}/merger-of-billing`;
  mkdirSync(shown);
  const files = ['confinement:', `  files: [{path: ${shown}, access: ro, reason: a test}]`];
  await define(instance, smallMachine('billing', files));
  await define(instance, smallMachine('hers'));
  instance.disk('billing');
  await giveTo(instance, 'hers', uids.owner);
  await restartManager(instance);
  // The accounts' files are bound where nothing mounted later arrives, which is what it says of a shown directory.
  const whole = await as(instance, 'admin', ['doctor']);
  assert.match(whole.stdout, /merger-of-billing/);
  assert.match((await as(instance, 'admin', ['disk', 'list'])).stdout, /billing\.qcow2/);
  const own = await as(instance, 'owner', ['doctor']);
  assert.match(own.stdout, /^ok +broker/m);
  assert.doesNotMatch(own.stdout, /billing/);

  instance.writePolicy({ operate: 'granted' });
  assert.doesNotMatch((await as(instance, 'operator', ['list'])).stdout, /billing|hers/);
  for (const words of [['doctor'], ['disk', 'list']]) {
    const { stdout, stderr } = await as(instance, 'operator', words);
    assert.notEqual(stdout, '', stderr);
    assert.doesNotMatch(stdout, /billing/, words.join(' '));
  }
});

const missing: CommandOutcome = { status: -1, stdout: '', stderr: '' };

test('what a process says of itself gives no right: groups that it holds, names that it sends', async () => {
  await using instance = await startWithAccounts(accounts);
  await define(instance, smallMachine('one'));
  // The account database says who is a member; a group that somebody was given for a moment is none.
  for (const groups of [Object.values(groupIdsOfTests), [0]]) {
    const outcome = await as(instance, 'nobody', ['start', 'one'], { groups });
    assert.equal(outcome.status, refused, outcome.stdout);
    assert.match(outcome.stderr, /user nina has no rights here/);
  }
  const headers = [
    'host: qward',
    'x-remote-user: root',
    'authorization: Basic cm9vdDo=',
    'connection: close',
  ];
  const request = ['GET /v1/machines HTTP/1.1', ...headers, '', ''].join('\r\n');
  const script = `require('node:net').connect(process.argv[1]).end(process.argv[2]).pipe(process.stdout)`;
  const [node = ''] = instance.program;
  const forged = await run(
    [...asUser({ uid: uids.nobody }), node, '--eval', script, instance.paths.apiSocket, request],
    instance.environment,
  );
  assert.match(forged.stdout, /"code":"not-allowed"/);
  assert.equal((await statusOf(instance, 'one')).state, 'stopped');
});
