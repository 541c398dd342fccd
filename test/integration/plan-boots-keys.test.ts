/** Keys that few machines set: QEMU takes each, and the guest sees it where it can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, boot, holdsLimits, makeFiles, start } from '../support/plan-boot.ts';

test('a guest sees its CPUs as they are arranged, and with the features that were asked for', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: cpus
accel: tcg
memory: 256MiB
cpu:
  model: Nehalem
  count: 2
  maximum: 4
  topology: {sockets: 2, cores: 2}
  features: {enable: [aes, xsave], disable: [hypervisor, sse4_2]}
  vendor: GenuineIntel
  cache: emulate
  addressBits: 40
  pmu: false
  hidden: true
  dedicated: true
  pollControl: true
  hyperv: {enlightenments: [relaxed, vapic, vpindex, synic, time, stimer], spinlocks: 8191, vendorId: 'KVM Hv'}
${kernel}`,
  );
  await boot(started);
  const cpus = await ask(started, 'cat /proc/cpuinfo');
  assert.match(cpus, /vendor_id\s*: GenuineIntel/);
  assert.match(cpus, /flags\s*:.* aes/);
  assert.doesNotMatch(cpus, /flags\s*:.* (hypervisor|sse4_2|vmx|svm)/);
  assert.match(cpus, /address sizes\s*: 40 bits physical/);
  assert.equal(cpus.match(/^processor/gm)?.length, 2);
  const places = (await started.execute('query-hotpluggable-cpus')) as { props: object }[];
  assert.equal(places.length, 4);
  holdsLimits(started);
});
