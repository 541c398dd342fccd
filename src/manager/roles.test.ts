import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rights } from '../api/contract.ts';
import { identify, mayDefineNew, mayOnHost, mayOnMachine } from './roles.ts';

const groups: Readonly<Record<string, number>> = { 'qward-admin': 900, 'qward-operators': 901 };
const groupIdOf = (name: string): number | undefined => groups[name];
const person = (uid: number, ...groups: number[]) => identify(uid, { name: `user${uid}`, groups }, groupIdOf);

test('root and members of qward-admin may do everything on every machine', () => {
  for (const identity of [identify(0, undefined, () => undefined), person(1000, 900)])
    for (const right of rights) {
      assert.equal(mayOnMachine(identity, right, 4242), true);
      assert.equal(mayOnHost(identity, right), true);
    }
});

test('an operator sees, operates and reads consoles of all machines, and nothing else', () => {
  const allowed = rights.filter((right) => mayOnMachine(person(1000, 901), right, 4242));
  assert.deepEqual(allowed, ['see', 'operate', 'console']);
  assert.equal(mayDefineNew(person(1000, 901)), false);
});

test('an owner has every right but the host on the own machine, and none on others', () => {
  const allowed = rights.filter((right) => mayOnMachine(person(1000), right, 1000));
  assert.deepEqual(allowed, ['see', 'operate', 'console', 'monitor', 'define']);
  assert.deepEqual(
    rights.filter((right) => mayOnMachine(person(1000), right, 1001)),
    [],
  );
  assert.equal(mayDefineNew(person(1000)), false);
});

test('a user without a role may nothing, also on machines without an owner', () => {
  for (const right of rights) {
    assert.equal(mayOnMachine(person(1000), right, null), false);
    assert.equal(mayOnHost(person(1000), right), false);
  }
});

test('groups that do not exist have no members', () => {
  const identity = identify(1000, { name: 'user', groups: [900, 901] }, () => undefined);
  assert.equal(identity.administrator || identity.operator, false);
});
