/** Promise 4: rights on single machines, given and taken over the real socket by real users, and who may define and own what. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { apiAs, type ApiAnswer } from '../support/api-as.ts';
import { asUser } from '../support/as-user.ts';
import { startWithAccounts, writeGroups, type TestAccount } from '../support/accounts.ts';
import { run, type CommandOutcome, type Instance } from '../support/instance.ts';
import { define, granted, killProcess, smallMachine, start } from '../support/small-machine.ts';

const uids = { operator: 911_200_002, olga: 911_200_003, vera: 911_200_004, tom: 911_200_005 } as const;
type User = keyof typeof uids;

const accounts: readonly TestAccount[] = [
  { name: 'otto', uid: uids.operator, groups: ['qward-operators'] },
  { name: 'olga', uid: uids.olga },
  { name: 'vera', uid: uids.vera },
  { name: 'tom', uid: uids.tom, groups: ['team'] },
];

const as = (instance: Instance, user: User, words: readonly string[]): Promise<CommandOutcome> =>
  run([...asUser({ uid: uids[user] }), ...instance.program, ...words], {
    ...instance.environment,
    NODE_COMPILE_CACHE: '',
  });
const get = (instance: Instance, user: User, path: string): Promise<ApiAnswer> =>
  apiAs(instance, uids[user], { method: 'GET', path });
const post = (instance: Instance, user: User, path: string, body: unknown = {}): Promise<ApiAnswer> =>
  apiAs(instance, uids[user], { method: 'POST', path, body });
const say = (answer: CommandOutcome, status = 0): string => {
  assert.equal(answer.status, status, answer.stdout + answer.stderr);
  return answer.stdout + answer.stderr;
};
const web = '/v1/machines/web';

async function startWithMachine(): Promise<Instance> {
  const instance = await startWithAccounts(accounts);
  try {
    await define(instance, smallMachine('web'));
    granted(await instance.client.call('give', { name: 'web', to: 'olga' }));
    return instance;
  } catch (error) {
    await instance[Symbol.asyncDispose]();
    throw error;
  }
}

test('an owner grants and revokes: users, groups, single rights, and all of it outlives the manager', async () => {
  await using instance = await startWithMachine();
  assert.equal((await get(instance, 'vera', web)).code, 'not-allowed');
  assert.match(
    say(await as(instance, 'olga', ['grant', 'web', 'vera', 'start,console'])),
    /vera.*console, operate/,
  );
  say(await as(instance, 'olga', ['grant', 'web', '@team', 'see']));
  assert.equal((await get(instance, 'vera', `${web}/logs`)).status, 200);
  assert.equal((await get(instance, 'tom', web)).status, 200);
  assert.equal((await get(instance, 'tom', `${web}/logs`)).code, 'not-allowed');
  assert.equal(
    (await post(instance, 'vera', `${web}/monitor`, { command: 'info status' })).code,
    'not-allowed',
  );
  for (const [user, path] of [
    ['vera', `${web}/grants`],
    ['operator', `${web}/grants`],
  ] as const)
    assert.equal((await get(instance, user, path)).code, 'not-allowed');
  assert.equal(
    (await post(instance, 'vera', `${web}/grant`, { who: 'vera', rights: ['monitor'] })).code,
    'not-allowed',
  );
  assert.equal(
    (await post(instance, 'operator', `${web}/grant`, { who: 'otto', rights: ['monitor'] })).code,
    'not-allowed',
  );

  await killProcess(instance.daemon('manager'));
  await instance.up();
  assert.equal((await get(instance, 'vera', `${web}/logs`)).status, 200);
  say(await as(instance, 'olga', ['revoke', 'web', 'vera', 'console']));
  assert.equal((await get(instance, 'vera', `${web}/logs`)).code, 'not-allowed');
  say(await as(instance, 'olga', ['revoke', 'web', 'vera']));
  assert.equal((await get(instance, 'vera', web)).code, 'not-allowed');
  assert.match(say(await as(instance, 'olga', ['grants', 'web'])), /@team +\d+ +see/);
  assert.match(say(await as(instance, 'olga', ['revoke', 'web', 'vera']), 2), /vera was not granted that/);
});

test('some rights cannot be granted, nor to users that there are not', async () => {
  await using instance = await startWithMachine();
  for (const right of ['define', 'grant', 'host', 'history', 'transfer', 'disk', 'everything', '__proto__']) {
    assert.match(
      say(await as(instance, 'olga', ['grant', 'web', 'vera', right]), 2),
      /no right that can be granted/,
    );
    const answer = await post(instance, 'olga', `${web}/grant`, { who: 'vera', rights: [right] });
    assert.equal(answer.code, 'request-invalid', right);
  }
  for (const who of ['nosuchuser', '@nosuchgroup', '4294967295', '../x'])
    assert.equal(
      (await post(instance, 'olga', `${web}/grant`, { who, rights: ['see'] })).code,
      'request-invalid',
      who,
    );
  assert.equal((await get(instance, 'vera', web)).code, 'not-allowed');
});

test('a change of groups counts at the next connection; a policy makes any group the operators', async () => {
  await using instance = await startWithMachine();
  granted(await instance.client.call('grant', { name: 'web', who: '@team', rights: ['operate'] }));
  assert.equal((await get(instance, 'tom', web)).status, 200);
  writeGroups(instance, [{ name: 'vera', uid: uids.vera, groups: ['team'] }]);
  assert.equal((await get(instance, 'tom', web)).code, 'not-allowed');
  assert.equal((await get(instance, 'vera', web)).status, 200);
  assert.equal((await get(instance, 'operator', web)).code, 'not-allowed');

  writeGroups(instance, [{ name: 'otto', uid: uids.operator, groups: ['kvm'] }]);
  assert.equal((await get(instance, 'operator', web)).code, 'not-allowed');
  const groups = { operators: 'kvm', administrators: 'qward-admin' };
  instance.writePolicy({ groups });
  assert.equal((await get(instance, 'operator', web)).status, 200);
  assert.equal((await post(instance, 'operator', `${web}/start`)).status, 200);
  assert.equal((await post(instance, 'operator', `${web}/qmp`, { execute: 'quit' })).code, 'not-allowed');
  const edit = await post(instance, 'operator', `${web}/set`, { changes: [{ key: 'cpus', value: '2' }] });
  assert.equal(edit.code, 'not-allowed');
  instance.writePolicy({ groups, operate: 'granted' });
  assert.equal((await get(instance, 'operator', web)).code, 'machine-unknown');
  granted(await instance.client.call('grant', { name: 'web', who: '@kvm', rights: ['operate'] }));
  assert.equal((await post(instance, 'operator', `${web}/kill`)).code, undefined);
});

test('an open console ends when the right to it is taken back', async () => {
  await using instance = await startWithMachine();
  await start(instance, 'web');
  granted(await instance.client.call('grant', { name: 'web', who: 'vera', rights: ['console'] }));
  const watching = as(instance, 'vera', ['console', '--watch', 'web']);
  const isOpen = async (): Promise<boolean> => {
    const entries = granted(await instance.client.call('history', { user: 'vera' }));
    return entries.some(({ call, outcome }) => call === 'console' && outcome === 'done');
  };
  while (!(await isOpen())) await delay(50);
  granted(await instance.client.call('revoke', { name: 'web', who: 'vera' }));
  const begun = performance.now();
  await watching;
  assert.ok(performance.now() - begun < 4000, 'at once, not at the next look');

  // A group that is left is seen at the next look.
  granted(await instance.client.call('grant', { name: 'web', who: '@team', rights: ['console'] }));
  const events = as(instance, 'tom', ['events']);
  const console = as(instance, 'tom', ['console', '--watch', 'web']);
  await delay(2000);
  writeGroups(instance, []);
  await Promise.all([events, console]);
});

test('whom the policy names defines and owns machines; names of others are taken, and not said whose', async () => {
  await using instance = await startWithMachine();
  const body = (name: string, replace = false): unknown => ({ source: smallMachine(name), replace });
  assert.equal((await post(instance, 'vera', '/v1/machines', body('mine'))).code, 'not-allowed');
  instance.writePolicy({ define: { users: ['vera'], groups: ['team'] } });
  for (const [user, name] of [
    ['vera', 'hers'],
    ['tom', 'his'],
  ] as const)
    assert.equal((await post(instance, user, '/v1/machines', body(name))).status, 200);
  for (const replace of [false, true]) {
    const answer = await post(instance, 'vera', '/v1/machines', body('web', replace));
    assert.equal(answer.code, 'machine-exists');
    assert.doesNotMatch(answer.text, /olga/);
  }
  for (const path of ['/v1/machines/hers/rename', '/v1/machines/hers/clone'])
    assert.equal((await post(instance, 'vera', path, { to: 'web' })).code, 'machine-exists', path);
  const own = JSON.parse((await get(instance, 'vera', '/v1/machines')).text) as { name: string }[];
  assert.deepEqual(
    own.map(({ name }) => name),
    ['hers'],
  );
  assert.equal((await get(instance, 'vera', '/v1/machines/his')).code, 'machine-unknown');
  assert.equal((await get(instance, 'olga', '/v1/machines/hers')).code, 'machine-unknown');
});

test('grants stay with a machine that is renamed, and are not those of its clone, its successor or its next owner', async () => {
  await using instance = await startWithMachine();
  granted(await instance.client.call('grant', { name: 'web', who: 'vera', rights: ['see'] }));
  granted(await instance.client.call('clone', { name: 'web', to: 'copy' }));
  granted(await instance.client.call('rename', { name: 'web', to: 'www' }));
  assert.equal((await get(instance, 'vera', '/v1/machines/www')).status, 200);
  assert.equal((await get(instance, 'vera', '/v1/machines/copy')).code, 'machine-unknown');
  granted(await instance.client.call('remove', { name: 'www' }));
  await define(instance, smallMachine('www'));
  assert.equal((await get(instance, 'vera', '/v1/machines/www')).code, 'not-allowed');

  granted(await instance.client.call('grant', { name: 'www', who: 'vera', rights: ['operate'] }));
  assert.equal((await post(instance, 'vera', '/v1/machines/www/give', { to: 'vera' })).code, 'not-allowed');
  await start(instance, 'www');
  assert.match(say(await instance.qward(['give', 'www', 'tom']), 1), /runs/);
  granted(await instance.client.call('kill', { name: 'www' }));
  say(await instance.qward(['give', 'www', 'tom']));
  assert.equal((await get(instance, 'vera', '/v1/machines/www')).code, 'not-allowed');
  assert.equal(
    (await get(instance, 'tom', '/v1/machines/www/grants')).text,
    '{"name":"www","owner":"tom","grants":[]}',
  );
});
