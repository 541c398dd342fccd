import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf, planOf } from '../plan/sample-facts.ts';
import { defaultPolicy, type Policy } from '../policy/policy.ts';
import type { Owner } from './owners.ts';
import { createRunJudge } from './policy-grounds.ts';
import type { PolicySource } from './policy-source.ts';

const source = 'name: web\nnics:\n  - { id: net, kind: bridge, bridge: br0 }\n';
const ownerOf = (name: string, ownerIsAdministrator = false): Owner =>
  ({ person: { name, isIn: () => false }, ownerIsAdministrator }) as unknown as Owner;

test('a bridge that is no longer for the owner of a running machine is held against it, as a start of it would hear', () => {
  const run = { definition: definitionOf(source), now: { launch: planOf(source).launch } };
  let policy: Policy = { ...defaultPolicy, bridges: [{ bridge: 'br0', who: null }] };
  const policies = { current: () => ({ ok: true, value: policy }) } as unknown as PolicySource;
  const judge = createRunJudge(policies, { path: '/var/lib/qward/vars', ownedBy: 990 });
  const said = (owner: Owner): readonly string[] => judge({ run, owner }).map(({ message }) => message);
  assert.deepEqual(said(ownerOf('bob')), []);
  policy = { ...policy, bridges: [{ bridge: 'br0', who: { users: ['alice'], groups: [] } }] };
  assert.deepEqual(said(ownerOf('bob')), ['bridge "br0" is not for machines of bob']);
  policy = { ...policy };
  assert.deepEqual(said(ownerOf('alice')), []);
  policy = { ...policy };
  assert.deepEqual(said(ownerOf('carol', true)), []);
});
