/**
 * Promises 5 and 6: a machine has just the capability that it was given, whichever of the kernel's that is; one that the broker itself
 * does not have, as under its unit, is refused by name before anything starts, and `doctor` tells it beforehand.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import {
  capabilities,
  capabilityNames,
  capabilitySet,
  lackingIn,
} from '../../src/protocol/capability-names.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { startInstance } from '../support/instance.ts';
import { define, faultsOf, granted, rememberNoKvm, smallMachine, start } from '../support/small-machine.ts';

const field = (pid: number, name: string): string =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

/** What the package's unit takes from the broker. */
const unit = readFileSync(`${import.meta.dirname}/../../packaging/systemd/qward-broker.service`, 'utf8');
const without = [...unit.matchAll(/^CapabilityBoundingSet=~(.*)$/gm)].flatMap(([, names = '']) =>
  names.split(' ').map((name) => name.replace(/^CAP_/, '').toLowerCase()),
);
/** Root of this host, a container as a rule, may lack more. */
const ours = field(process.pid, 'CapBnd');
const lacked = capabilities.filter((name) => without.includes(name) || lackingIn(ours, [name]) !== '');
const machineOf = (name: string): string => `with-${name.replaceAll('_', '-')}`;

const instance = await startInstance({
  without,
  policy: {
    relaxations: capabilities.map((to) => ({ relax: 'capability', to, machines: [machineOf(to)] })),
  },
});
after(() => instance[Symbol.asyncDispose]());
rememberNoKvm(instance);
for (const name of capabilities)
  await define(instance, smallMachine(machineOf(name), [`confinement: {capabilities: [${name}]}`]));

test('the broker has what its unit leaves it, and no name of the unit is unknown', () => {
  const left = capabilities.filter((name) => !lacked.includes(name));
  assert.deepEqual(
    without.filter((name) => !capabilities.includes(name)),
    [],
  );
  assert.ok(without.length >= 15);
  assert.equal(field(instance.daemon('broker'), 'CapBnd'), capabilitySet(left));
});

test('each capability that the broker lacks is refused by its name, with the cure, and nothing was started', async () => {
  for (const name of lacked) {
    const reply = await instance.client.call('start', { name: machineOf(name) });
    assert.match(
      faultsOf(reply),
      new RegExp(
        `^wall-missing: machine ".*" is to have CAP_${name.toUpperCase()}, which the broker cannot give: its own bounding set`,
      ),
    );
    assert.match(
      reply.ok ? '' : (reply.faults[0]?.hint ?? ''),
      new RegExp(`where root has CAP_${name.toUpperCase()} in its bounding set`),
    );
  }
  assert.deepEqual(processesOfUids(instance.uidRange.base, instance.uidRange.count), []);
});

test('doctor names all of them at once', async () => {
  const { checks } = granted(await instance.client.call('doctor', {}));
  const check = checks.find((one) => one.check === 'capabilities');
  assert.equal(check?.state, 'degraded');
  for (const name of lacked) assert.match(check.found, new RegExp(`\\bCAP_${name.toUpperCase()}\\b`));
  assert.doesNotMatch(check.found, /CAP_SYS_RAWIO/);
  assert.match(check.cure, /in its bounding set/);
});

for (const name of capabilities.filter((one) => !lacked.includes(one)))
  test(`${name}: in all five sets, and no other`, async () => {
    const pid = await start(instance, machineOf(name));
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(capabilityNames(field(pid, set)), name, set);
    granted(await instance.client.call('kill', { name: machineOf(name) }));
  });

test('what is no capability is refused, and never taken for another', async () => {
  instance.writePolicy({ relaxations: [{ relax: 'capability', to: 'all' }] });
  const policy = faultsOf(await instance.client.call('start', { name: machineOf('kill') }));
  assert.match(policy, /relaxations\[0\]\.to.* chown or dac_override/);
});
