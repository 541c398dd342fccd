import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamCards } from './nics.ts';
import { planLaunch } from './plan-launch.ts';
import { definitionOf, planOf, sampleFacts } from './sample-facts.ts';
import { helperName } from './user-network.ts';

const yaml = (...nics: string[]): string =>
  ['name: web', 'nics:', ...nics.map((nic) => `  - ${nic}`), ''].join('\n');
const user = '{ id: net, kind: user, forward: [80 -> 8080] }';
const bridge = '{ id: lan, kind: bridge, bridge: br0 }';

test('each card of kind user has a helper, a socket of its own, and a name that nobody else has', () => {
  const { launch, helpers } = planOf(yaml(bridge, '{ id: net, kind: user }', '{ id: out, kind: user }'));
  assert.deepEqual(streamCards(launch), [
    { nic: 'net', socket: 'net1' },
    { nic: 'out', socket: 'net2' },
  ]);
  assert.deepEqual(
    helpers.map(({ nic, launch: { machine, descriptors } }) => [nic, machine, descriptors]),
    [
      ['net', helperName('web', 'net1'), [{ kind: 'netdev', machine: 'web', socket: 'net1' }]],
      ['out', helperName('web', 'net2'), [{ kind: 'netdev', machine: 'web', socket: 'net2' }]],
    ],
  );
  assert.notEqual(helperName('web', 'net1'), helperName('web1', 'net1'));
});

test('without passt, and with a port that is root’s alone, a start has faults that name the cure', () => {
  const faultsOf = (text: string, userNetwork: object): string[] => {
    const definition = definitionOf(text);
    const facts = sampleFacts(definition);
    const outcome = planLaunch(definition, {
      ...facts,
      userNetwork: { ...facts.userNetwork, ...userNetwork },
    });
    return outcome.ok
      ? []
      : outcome.faults.map(({ code, path, hint }) => `${code} ${path?.join('.')}: ${hint}`);
  };
  assert.match(
    faultsOf(yaml(user), { passt: null }).join(),
    /^helper-missing nics\.0\.kind: Install it: `apt install passt`/,
  );
  assert.match(
    faultsOf(yaml(user), {}).join(),
    /^port-unavailable nics\.0\.forward\.0: .*ip_unprivileged_port_start=80/,
  );
  assert.deepEqual(faultsOf(yaml(user), { firstPort: 80 }), []);
  assert.deepEqual(faultsOf(yaml(bridge), { passt: null }), []);
});

test('what is open and what is closed is said, and that a guest has no name server', () => {
  const { notes } = planOf(yaml('{ id: net, kind: user, forward: ["2222 -> 22"] }'));
  assert.match(notes.join('\n'), /closed are the host itself/);
  assert.match(notes.join('\n'), /open to the guest: 127\.0\.0\.1:2222 -> 22/);
  assert.doesNotMatch(notes.join('\n'), /no name server/);
  const { userNetwork } = sampleFacts(definitionOf(yaml(bridge)));
  const without = planOf(yaml('{ id: net, kind: user }'), {
    userNetwork: { ...userNetwork, nameServers: [] },
  });
  assert.match(without.notes.join('\n'), /nothing leads to the guest/);
  assert.match(without.notes.join('\n'), /told no name server/);
});
