import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rights, type Right } from '../api/contract.ts';
import { closedPolicy } from './policy-source.ts';
import { defaultPolicy } from '../policy/policy.ts';
import {
  identify,
  mayOnHost,
  mayOnMachine,
  rightsOfRole,
  seesAll,
  type Access,
  type Identity,
} from './roles.ts';

const groups: Readonly<Record<string, number>> = {
  'qward-admin': 900,
  'qward-operators': 901,
  kvm: 107,
  team: 77,
};
const groupIdOf = (name: string): number | undefined => groups[name];
const person = (uid: number, of: readonly number[] = [], policy = defaultPolicy): Identity =>
  identify({ uid, pid: 1, account: { name: `user${uid}`, groups: of } }, policy, groupIdOf);
const of = (owner: number | null, grants: Access['grants'] = []): Access => ({ owner, grants });
const on = (identity: Identity, access: Access): Right[] =>
  rights.filter((right) => mayOnMachine(identity, right, access));

/** confinement.md, "Roles", column by column: what each role may, beside seeing. The rest of the table follows from it. */
const design = {
  //                see, start…, console, monitor, define
  owner: [true, true, true, true, true],
  operator: [true, true, true, false, false],
  administrator: [true, true, true, true, true],
} as const;

test('the roles have the rights of the design', () => {
  for (const [role, columns] of Object.entries(design) as [keyof typeof design, readonly boolean[]][])
    assert.deepEqual(
      (['see', 'operate', 'console', 'monitor', 'define'] as const).map((right) =>
        rightsOfRole[role].includes(right),
      ),
      columns,
      role,
    );
  assert.deepEqual(rightsOfRole.operator, ['see', 'operate', 'console']);
});

test('root and members of the administrators group may do everything on every machine', () => {
  const root = identify({ uid: 0, pid: 1, account: undefined }, closedPolicy, () => undefined);
  for (const identity of [root, person(1000, [900])]) {
    assert.deepEqual(on(identity, of(4242)), rights);
    assert.deepEqual(
      rights.filter((right) => mayOnHost(identity, right)),
      rights,
    );
  }
});

test('an operator sees, operates and uses consoles of all machines, and nothing else', () => {
  assert.deepEqual(on(person(1000, [901]), of(4242)), ['see', 'operate', 'console']);
  assert.equal(person(1000, [901]).definer, false);
});

test('an operator where the policy says "granted" has what is granted, and no more', () => {
  const policy = { ...defaultPolicy, operate: 'granted' as const };
  const operator = person(1000, [901], policy);
  assert.deepEqual(on(operator, of(4242)), []);
  assert.equal(seesAll(operator), false);
  const grants = [{ kind: 'group', id: 901, name: 'qward-operators', rights: ['operate'] }] as const;
  assert.deepEqual(on(operator, of(4242, grants)), ['see', 'operate']);
});

test('any group can be the operators', () => {
  const policy = { ...defaultPolicy, groups: { ...defaultPolicy.groups, operators: 'kvm' } };
  assert.deepEqual(on(person(1000, [107], policy), of(1)), ['see', 'operate', 'console']);
  assert.deepEqual(on(person(1000, [901], policy), of(1)), []);
});

test('an owner has every right but those of the host on the own machine, and none on others', () => {
  assert.deepEqual(on(person(1000), of(1000)), rightsOfRole.owner);
  assert.deepEqual(on(person(1000), of(1001)), []);
});

test('a grant gives its rights and sight of the machine, to that user or to members of that group', () => {
  const grants = [
    { kind: 'user', id: 1000, name: 'anybody', rights: ['console'] },
    { kind: 'group', id: 77, name: 'team', rights: ['operate', 'monitor'] },
  ] as const;
  assert.deepEqual(on(person(1000), of(4242, grants)), ['see', 'console']);
  assert.deepEqual(on(person(1001, [77]), of(4242, grants)), ['see', 'operate', 'monitor']);
  assert.deepEqual(on(person(1002, [1000]), of(4242, grants)), [], 'a gid is no uid');
  assert.deepEqual(on(person(77), of(4242, grants)), [], 'a uid is no gid');
});

test('a user without a role may nothing, also on machines without an owner', () => {
  assert.deepEqual(on(person(1000), of(null)), []);
  assert.deepEqual(
    rights.filter((right) => mayOnHost(person(1000), right)),
    [],
  );
});

test('who may define is said by the policy, and gives nothing on machines of others', () => {
  const policy = { ...defaultPolicy, define: { users: ['user1000'], groups: ['team'] } };
  for (const definer of [person(1000, [], policy), person(1001, [77], policy)]) {
    assert.equal(definer.definer, true);
    assert.deepEqual(on(definer, of(4242)), []);
  }
  assert.equal(person(1002, [], policy).definer, false);
});

test('groups that do not exist, and no policy, have no members', () => {
  const identity = identify(
    { uid: 1000, pid: 1, account: { name: 'user', groups: [900, 901] } },
    defaultPolicy,
    () => undefined,
  );
  assert.equal(identity.administrator || identity.operator, false);
  const closed = identify({ uid: 1000, pid: 1, account: { name: 'u', groups: [0] } }, closedPolicy, () => 0);
  assert.equal(closed.administrator || closed.operator || closed.definer, false);
});
