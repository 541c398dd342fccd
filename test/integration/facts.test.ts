/** QEMU's facts from the QEMU of this host, and the proof that they are enough: QEMU comes up in a jail that has nothing else. */
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { machineSchema } from '../../src/definition/schema.ts';
import { KvmVerdictStore } from '../../src/manager/facts/kvm-verdict-store.ts';
import { defaultQemu, gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { QemuFactsSource } from '../../src/manager/facts/qemu-facts-source.ts';
import type { QemuFacts } from '../../src/plan/launch-plan.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { firstDescriptor, type LaunchRequest } from '../../src/protocol/launch.ts';
import { startJailed } from '../support/jailed-process.ts';
import { localFacts } from '../support/local-facts.ts';
import { connectWhenListening, RawMonitor } from '../support/raw-monitor.ts';

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-facts-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

async function factsOfThisHost(): Promise<QemuFacts> {
  const gathered = await gatherQemu(defaultQemu);
  assert.ok(gathered.ok, JSON.stringify(gathered));
  return gathered.value.facts;
}

/** A machine under TCG whose firmware's messages come out of the socket `agent`. */
function planWithDebugPort(qemu: QemuFacts, fields: object, extra: readonly string[] = []): LaunchRequest {
  const definition = machineSchema.parse({ name: 'facts', accel: 'tcg', memory: '64MiB', ...fields });
  const planned = planLaunch(definition, { ...localFacts(definition, '/nonexistent'), qemu });
  assert.ok(planned.ok, JSON.stringify(planned));
  const { launch } = planned.plan;
  const fd = firstDescriptor + launch.descriptors.length;
  const chardev = `socket,id=debug,fd=${fd},server=on,wait=off`;
  const port = ['-chardev', chardev, '-device', 'isa-debugcon,iobase=0x402,chardev=debug'];
  return {
    ...launch,
    argv: [...launch.argv, ...port, ...extra],
    descriptors: [...launch.descriptors, { kind: 'socket', name: 'agent' }],
  };
}

/** Starts the machine in its jail and waits until its firmware has said all of `messages`. */
async function bootUntil(launch: LaunchRequest, messages: readonly string[]): Promise<void> {
  await using jailed = await startJailed(launch);
  const { qmp = '', agent: debug = '' } = jailed.sockets;
  await using monitor = await RawMonitor.open(qmp).catch(async (error: unknown) => {
    throw new Error((await jailed.readLog()).toString() || 'QEMU said nothing', { cause: error });
  });
  const port = await connectWhenListening(debug, 1000);
  const giveUp = setTimeout(() => port.destroy(new Error('the firmware is silent')), 20_000);
  await monitor.execute('cont');
  let output = '';
  try {
    for await (const chunk of port) {
      output += String(chunk);
      if (messages.every((message) => output.includes(message))) break;
    }
  } finally {
    clearTimeout(giveUp);
  }
  for (const message of messages) assert.ok(output.includes(message), `${message} in ${output}`);
}

test('QEMU boots its firmware in a jail that has its closure and nothing else', async (t) => {
  const qemu = await factsOfThisHost();
  const vgaWorks = 'Turning on vga text mode console';
  await t.test('q35 with a VGA card', () =>
    bootUntil(planWithDebugPort(qemu, { vnc: true }), ['SeaBIOS (version', vgaWorks]),
  );
  await t.test('pc with network cards and disk controllers that bring ROMs', () => {
    const cards = [
      'e1000',
      'e1000e',
      'rtl8139',
      'virtio-net-pci',
      'vmxnet3',
      'lsi53c895a',
      'virtio-scsi-pci',
    ];
    const devices = cards.flatMap((card, index) => [
      '-device',
      `${card},addr=0x${(16 + index).toString(16)}`,
    ]);
    return bootUntil(planWithDebugPort(qemu, { machine: 'pc' }, devices), [
      'SeaBIOS (version',
      'Running option rom',
    ]);
  });
  await t.test('a display from a module, with the modules that it needs', () => {
    const launch = planWithDebugPort(qemu, { vnc: true }, ['-device', 'virtio-vga']);
    const module = qemu.modules['hw-display-virtio-vga'];
    assert.ok(module !== undefined);
    return bootUntil({ ...launch, root: [...launch.root, ...module] }, ['SeaBIOS (version', vgaWorks]);
  });
});

test('microvm comes up in a jail with the closure, and its processor runs', async () => {
  const qemu = await factsOfThisHost();
  const definition = machineSchema.parse({
    name: 'facts',
    accel: 'tcg',
    machine: 'microvm',
    memory: '64MiB',
    boot: { kernel: '/usr/share/seabios/bios.bin' },
  });
  const planned = planLaunch(definition, { ...localFacts(definition, '/nonexistent'), qemu });
  assert.ok(planned.ok, JSON.stringify(planned));
  const { launch } = planned.plan;
  // The firmware is what is looked at; there is no kernel to load after it.
  const kernel = launch.argv.indexOf('-kernel');
  const argv = launch.argv.filter((_, index) => index !== kernel && index !== kernel + 1);
  await using jailed = await startJailed({ ...launch, argv });
  await using monitor = await RawMonitor.open(jailed.sockets.qmp ?? '');
  await monitor.execute('cont');
  assert.deepEqual(await monitor.execute('query-status'), {
    status: 'running',
    singlestep: false,
    running: true,
  });
});

test('facts come from the file until a file that they speak of has changed', async (t) => {
  const file = join(await temporaryDirectory(t), 'qemu-facts.json');
  const first = await new QemuFactsSource(defaultQemu, file).read();
  assert.ok(first.ok);
  const stored = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...stored, facts: { ...stored.facts, modules: {} } }));
  const missingModules = await new QemuFactsSource(defaultQemu, file).read();
  assert.ok(missingModules.ok);
  // The fingerprint covers the modules: a file that lost them is not believed.
  assert.deepEqual(missingModules.value, first.value);

  const marked = { ...stored.facts, version: { major: 99, minor: 0, micro: 0 } };
  await writeFile(file, JSON.stringify({ ...stored, facts: marked }));
  const fromFile = await new QemuFactsSource(defaultQemu, file).read();
  assert.ok(fromFile.ok);
  assert.equal(fromFile.value.version.major, 99);

  for (const bad of [
    { ...stored, fingerprint: 'x' },
    { ...stored, form: 2 },
    { ...stored, more: 1 },
  ]) {
    await writeFile(file, JSON.stringify(bad));
    assert.deepEqual(await new QemuFactsSource(defaultQemu, file).read(), first);
  }
  await writeFile(file, '{"half');
  assert.deepEqual(await new QemuFactsSource(defaultQemu, file).read(), first);
  const nowhere = await new QemuFactsSource(defaultQemu, '/proc/nowhere/facts.json').read();
  assert.deepEqual(nowhere, first, 'a directory that cannot be written costs time and nothing else');
});

test('a QEMU that is missing, elsewhere, changeable or none at all is a fault, not an exception', async (t) => {
  const directory = await temporaryDirectory(t);
  await copyFile('/usr/bin/true', join(directory, 'qemu'));
  const open = await mkdtemp('/usr/local/lib/qward-facts-');
  t.after(() => rm(open, { recursive: true }));
  await copyFile('/usr/bin/true', join(open, 'qemu'));
  await chmod(open, 0o777);
  const cases: readonly (readonly [path: string, code: string, message: RegExp])[] = [
    ['/usr/bin/no-such-qemu', 'qemu-missing', /there is no QEMU at \/usr\/bin\/no-such-qemu/],
    ['/usr/bin/true', 'qemu-missing', /\/usr\/bin\/true does not say which QEMU it is/],
    ['/usr/bin/false', 'qemu-missing', /\/usr\/bin\/false --version failed/],
    [join(directory, 'qemu'), 'qemu-unsafe', /does not lie beneath \/usr/],
    [join(open, 'qemu'), 'qemu-unsafe', /can be written by others than root/],
  ];
  for (const [path, code, message] of cases) {
    const outcome = await gatherQemu(path);
    assert.ok(!outcome.ok, path);
    assert.equal(outcome.faults[0]?.code, code, path);
    assert.match(outcome.faults[0]?.message ?? '', message);
  }
});

test('the KVM verdict holds for one boot', async (t) => {
  const directory = await temporaryDirectory(t);
  const [file, bootId] = [join(directory, 'kvm.json'), join(directory, 'boot_id')];
  await writeFile(bootId, 'first\n');
  const store = new KvmVerdictStore(file, bootId);
  assert.equal(await store.read(), undefined);
  const verdict = { works: false, reason: 'tried' };
  assert.deepEqual(await store.write(verdict), { ok: true, value: undefined });
  assert.deepEqual(await new KvmVerdictStore(file, bootId).read(), verdict);
  await writeFile(bootId, 'second\n');
  assert.equal(await store.read(), undefined);
  await writeFile(file, '{"form":1');
  assert.equal(await store.read(), undefined);
});
