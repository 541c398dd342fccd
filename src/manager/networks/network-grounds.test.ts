import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf } from '../../plan/sample-facts.ts';
import { settleCards } from '../../plan/default-cards.ts';
import { planOf } from '../../plan/sample-facts.ts';
import { bridgeFaults, forwardFaults, forwardRows, macFaults, networkFaults } from './network-grounds.ts';

const definition = definitionOf(
  'name: web\nnics:\n  - { id: net, kind: user, forward: [2222, "192.0.2.1:80"] }\n',
);
const policy = {
  forwards: [
    { addresses: ['127.0.0.1'], from: 1024, to: 65_535, who: null },
    { addresses: ['192.0.2.1'], from: 1, to: 1023, who: { users: ['alice'], groups: [] } },
  ],
};
const owner = (name: string, ownerIsAdministrator = false) => ({
  person: { name, isIn: () => false },
  ownerIsAdministrator,
});

test('a rule with who is for the machines of these users, and of administrators', () => {
  assert.deepEqual(forwardFaults(definition, policy, owner('alice')), []);
  assert.deepEqual(forwardFaults(definition, policy, owner('carol', true)), []);
  const [fault, ...more] = forwardFaults(definition, policy, owner('bob'));
  assert.deepEqual(
    [fault?.code, fault?.rule, fault?.path, more],
    ['policy-refused', 'forwards', ['nics', 0, 'forward', 1], []],
  );
  assert.match(fault?.message ?? '', /^tcp port 80 of 192\.0\.2\.1 is not one/);
});

test('each forward is told with the rule that gives it', () => {
  assert.deepEqual(
    forwardRows(definition, policy, owner('alice')).map(({ resource, rule }) => [resource, rule]),
    [
      ['127.0.0.1:2222 -> 2222', 'forwards[0]'],
      ['192.0.2.1:80 -> 80', 'forwards[1]'],
    ],
  );
});

test('a bridge and a managed network with who are for the machines of these users, and of administrators', () => {
  const who = { users: ['alice'], groups: [] };
  const cards = settleCards(
    definitionOf(
      'name: web\nnics:\n  - { id: one, kind: bridge, bridge: br0 }\n  - { id: two, kind: bridge, bridge: br1 }\n  - { id: three, kind: network, network: lab }\n',
    ),
    null,
  );
  const bridges = {
    bridges: [
      { bridge: 'br0', who },
      { bridge: 'br1', who: null },
    ],
  };
  const networks = [{ name: 'lab', subnet: '10.78.0.0/24', mode: 'isolated', who } as const];
  const faults = (...of: Parameters<typeof owner>): readonly string[] =>
    [...bridgeFaults(cards, bridges, owner(...of)), ...networkFaults(cards, networks, owner(...of))].map(
      ({ message }) => message,
    );
  assert.deepEqual(faults('alice'), []);
  assert.deepEqual(faults('carol', true), []);
  assert.deepEqual(faults('bob'), [
    'bridge "br0" is not for machines of bob',
    'network "lab" is not for machines of bob',
  ]);
});

test('a MAC address that another running machine has on the same bridge is refused', () => {
  const card = (bridge: string): string =>
    `{ id: net, kind: bridge, bridge: ${bridge}, mac: "52:54:00:00:00:01" }`;
  const { launch } = planOf(`name: db\nnics: [${card('br0')}, { id: own, kind: bridge, bridge: br1 }]\n`);
  const faults = (name: string, bridge: string): readonly (string | undefined)[] =>
    macFaults(settleCards(definitionOf(`name: ${name}\nnics: [${card(bridge)}]\n`), null), [launch]).map(
      ({ code }) => code,
    );
  assert.deepEqual(faults('web', 'br0'), ['network-conflict']);
  assert.deepEqual(faults('web', 'br1'), []);
  // It is the machine itself.
  assert.deepEqual(faults('db', 'br0'), []);
});
