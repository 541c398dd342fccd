import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settleCards } from './default-cards.ts';
import { definitionOf, planOf } from './sample-facts.ts';

const yaml =
  'name: web\nnics:\n  - { id: one, model: e1000 }\n  - { id: two, kind: default }\n  - { id: three, kind: bridge, bridge: br7 }\n';

test('a card without a kind is joined to the default bridge, and served by passt where there is none', () => {
  const kinds = (bridge: string | null): readonly string[] =>
    settleCards(definitionOf(yaml), bridge).nics.map(
      (nic) => `${nic.kind} ${nic.kind === 'bridge' ? nic.bridge : ''} ${nic.model}`,
    );
  assert.deepEqual(kinds('br0'), ['bridge br0 e1000', 'bridge br0 virtio', 'bridge br7 virtio']);
  assert.deepEqual(kinds(null), ['user  e1000', 'user  virtio', 'bridge br7 virtio']);
});

test('a plan has what the host has for it', () => {
  const descriptors = (defaultBridge: string | null): readonly string[] =>
    planOf('name: web\nnics: [{ id: net }]\n', { defaultBridge }).launch.descriptors.map((one) =>
      one.kind === 'tap' ? `tap ${one.bridge}` : one.kind === 'socket' ? one.name : one.kind,
    );
  assert.ok(descriptors('br0').includes('tap br0'));
  assert.ok(descriptors(null).includes('net0'));
});
