/** Promise 4 over the real socket with real uids: every route of the contract, tried by every kind of user. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documents, rights, routes, type Right, type Route } from '../../src/api/contract.ts';
import { apiAs } from '../support/api-as.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { define, granted, smallMachine } from '../support/small-machine.ts';

const users = {
  admin: 911_100_001,
  operator: 911_100_002,
  owner: 911_100_003,
  console: 911_100_004,
  member: 911_100_005,
  nobody: 911_100_006,
} as const;
type User = keyof typeof users;

const accounts = [
  { name: 'alice', uid: users.admin, groups: ['qward-admin'] },
  { name: 'otto', uid: users.operator, groups: ['qward-operators'] },
  { name: 'olga', uid: users.owner },
  { name: 'vera', uid: users.console },
  { name: 'tom', uid: users.member, groups: ['team'] },
  { name: 'nina', uid: users.nobody },
] as const;

/** On the owner's machine: confinement.md "Roles", and what was granted to vera and to the group of tom. */
const onMachine: Readonly<Record<User, readonly Right[]>> = {
  admin: rights,
  operator: ['see', 'operate', 'console'],
  owner: ['see', 'operate', 'console', 'guest', 'monitor', 'define', 'grant', 'history'],
  console: ['see', 'console'],
  member: ['see', 'operate'],
  nobody: [],
};
/** Calls that name no machine. `define` and `disk` are looked into by their handlers, which know what is meant. */
const onHost: Readonly<Record<User, readonly Right[]>> = {
  admin: rights,
  operator: ['see', 'define', 'disk'],
  owner: ['see', 'define', 'disk'],
  console: ['see', 'define', 'disk'],
  member: ['see', 'define', 'disk'],
  nobody: [],
};

/** What a call is answered that has something in it that no call takes: nothing happens, whoever asks. */
const understood = 'request-invalid';

function expected(user: User, { path, right }: Route, machine: string): string {
  if (user === 'nobody') return 'not-allowed';
  if (!path.includes(':name')) return onHost[user].includes(right) ? understood : 'not-allowed';
  const held: readonly Right[] = machine === 'hers' || seesAll(user) ? onMachine[user] : [];
  if (!held.includes('see')) return 'machine-unknown';
  return held.includes(right) ? understood : 'not-allowed';
}

const seesAll = (user: User): boolean => user === 'admin' || user === 'operator';

test('every route has a right that there is', () => {
  for (const [name, route] of Object.entries<Route>(routes)) assert.ok(rights.includes(route.right), name);
});

test('documents are in the table too, and answered by it', async () => {
  await using instance = await startWithAccounts(accounts);
  await define(instance, smallMachine('billing'));
  granted(await instance.client.call('grant', { name: 'billing', who: 'vera', rights: ['console'] }));
  for (const { path, right } of Object.values(documents))
    for (const user of ['admin', 'operator', 'console', 'nobody'] as const) {
      const { status, text } = await apiAs(instance, users[user], { method: 'GET', path });
      const given = onHost[user].includes(right);
      assert.equal(status, given ? 200 : 403, `${user}: ${path}: ${text.slice(0, 200)}`);
    }
});

test('every user gets from every route what the table says, on every machine', async () => {
  await using instance = await startWithAccounts(accounts);
  for (const name of ['hers', 'billing']) await define(instance, smallMachine(name));
  granted(await instance.client.call('give', { name: 'hers', to: 'olga' }));
  granted(await instance.client.call('grant', { name: 'hers', who: 'vera', rights: ['console'] }));
  granted(await instance.client.call('grant', { name: 'hers', who: '@team', rights: ['operate'] }));

  for (const [name, route] of Object.entries<Route>(routes))
    for (const machine of route.path.includes(':name') ? ['hers', 'billing', 'never'] : ['']) {
      const path = `${route.path.replace(':name', machine).replace(':pid', '1')}?surplus=1`;
      const answers = await Promise.all(
        (Object.keys(users) as User[]).map(async (user) => {
          const request = {
            method: route.method,
            path,
            body: route.method === 'GET' ? undefined : { surplus: 1 },
          };
          const { code } = await apiAs(instance, users[user], request);
          const absent = machine === 'never' && user !== 'nobody' ? 'machine-unknown' : undefined;
          return [user, code, absent ?? expected(user, route, machine)] as const;
        }),
      );
      for (const [user, code, wanted] of answers) assert.equal(code, wanted, `${user}: ${name} ${path}`);
    }
});
