import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from '../../plan/sample-facts.ts';
import { agentCommands } from '../../qmp/agent-commands.ts';
import { macsOf, neighboursIn } from './addresses.ts';

test('the MAC addresses of a launch are those of its cards', () => {
  const cards =
    'nics:\n  - { id: lan, kind: bridge, bridge: br0, mac: "52:54:00:00:00:01" }\n  - { id: own, kind: network, network: lan }\n';
  const { launch } = planOf(`name: web\n${cards}`);
  const [first, second, ...more] = macsOf(launch);
  assert.equal(first, '52:54:00:00:00:01');
  assert.deepEqual(
    [second, more],
    [launch.descriptors.flatMap((one) => (one.kind === 'card' ? [one.mac] : []))[0], []],
  );
});

test('the neighbour table gives addresses of those that answered', () => {
  const table = [
    'IP address       HW type     Flags       HW address            Mask     Device',
    '192.0.2.7        0x1         0x2         52:54:00:00:00:01     *        br0',
    '192.0.2.8        0x1         0x2         52:54:00:00:00:01     *        br0',
    '192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        br0',
    '',
  ].join('\n');
  assert.deepEqual([...neighboursIn(table)], [['52:54:00:00:00:01', ['192.0.2.7', '192.0.2.8']]]);
});

test('an agent tells addresses, and nothing else is shown of what it says', async () => {
  const say = (value: unknown) =>
    agentCommands.addresses({ execute: () => Promise.resolve({ ok: true, value }) }, undefined);
  const one = (...addresses: readonly unknown[]): object => ({
    name: 'eth0',
    'ip-addresses': addresses.map((text) => ({ 'ip-address': text, 'ip-address-type': 'ipv4', prefix: 24 })),
  });
  const told = await say([
    one('127.0.0.1', '::1'),
    one('192.0.2.7', 'FD00::7', 'fe80::1', '\u001b[2Jx', 'a b'),
    { name: 'tun0' },
  ]);
  assert.deepEqual(told, { ok: true, value: ['192.0.2.7', 'fd00::7'] });
  for (const value of [null, {}, [one(7)], [one('9'.repeat(99))], [{ 'ip-addresses': {} }], ['x']])
    assert.equal((await say(value)).ok, Array.isArray(value) && value[0] === 'x', JSON.stringify(value));
});
