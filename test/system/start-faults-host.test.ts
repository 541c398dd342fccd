/** What the host lacks, or the machine's own limits: a clear error, and nothing left. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  bareMachine,
  define,
  defineBare,
  defineDemo,
  disk,
  done,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { startInstance, type Instance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

const { images } = instance.paths;

async function failsCleanly(words: string): Promise<void> {
  assert.equal(await refused(instance, 'start web'), words);
  assert.deepEqual(remains(instance, 'web'), []);
  await startsWell(instance);
}

async function startsWell(on: Instance): Promise<void> {
  await defineBare(on, 'web');
  assert.equal(await done(on, 'start web'), 'web: started');
  await done(on, 'kill web');
  assert.deepEqual(remains(on, 'web'), []);
}

test('a CPU model that this QEMU does not know fails with its own words', async () => {
  await defineBare(instance, 'web', 'cpu: { model: No-Such-Model }');
  assert.equal(
    await refused(instance, 'start web'),
    'machine "web" was not started: it said: unable to find CPU model \'No-Such-Model\'\n' +
      '  this QEMU does not know what the definition asks for; `qward explain` shows its arguments',
  );
  const { state, lastEnd } = await statusOf(instance, 'web');
  assert.equal(state, 'failed');
  assert.match(lastEnd?.log.join() ?? '', /unable to find CPU model 'No-Such-Model'$/);
  assert.match(await done(instance, 'logs web'), /qemu +\S+ qemu-system-x86_64: unable to find CPU model/);
  assert.deepEqual(remains(instance, 'web'), []);
  await startsWell(instance);
});

test('a machine type that does not exist is a fault of the definition', async () => {
  const words = await refused(instance, 'define -', {
    stdin: bareMachine('other', 'machine: q53'),
    status: 2,
  });
  assert.match(words, /^line 4:10: machine: found "q53"; expected .*q35/);
  assert.match(await refused(instance, 'start other', { status: 3 }), /^there is no machine "other"/);
});

test('a guest with more memory than the host has is refused before anything is made', async () => {
  const host = (totalmem() / 1024 ** 3).toFixed(1);
  await defineBare(instance, 'web');
  await done(instance, 'set web memory=64TiB');
  await failsCleanly(
    `the guest is to have 65536.0 GiB of memory, and the host has ${host} GiB\n  Lower \`memory\`.`,
  );
});

test('a QEMU that reaches its memory limit while it starts', async () => {
  await define(instance, bareMachine('web', 'limits: { memory: 16MiB }').replace('32MiB', '16MiB'));
  await failsCleanly(
    'machine "web" was not started: the kernel killed QEMU at its memory limit of 16777216 bytes; it said nothing\n' +
      '  raise `limits.memory` in the definition, or give the guest less memory',
  );
});

test('a guest that fills its memory beyond the limit of its machine: crashed, and the limit is named', async () => {
  await defineDemo(instance, {
    name: 'hog',
    memory: '128MiB',
    switches: 'qward.hog=memory',
    more: 'limits: { memory: 128MiB }',
  });
  await done(instance, 'start hog');
  assert.equal(await done(instance, 'wait hog', { timeoutMs: 90_000 }), 'hog: crashed');
  const { lastEnd } = await statusOf(instance, 'hog');
  assert.equal(lastEnd?.how, 'crashed');
  assert.match(
    lastEnd.message,
    /^QEMU (?:was ended by SIGKILL|ended by itself; this kernel does not tell how): it reached its memory limit; raise `limits\.memory` in the definition$/,
  );
  assert.deepEqual(remains(instance, 'hog'), []);
});

test('a limit of threads with which QEMU cannot start is refused before anything is made', async () => {
  await defineBare(instance, 'web', 'cpu: { count: 13 }', 'limits: { pids: 16 }');
  await failsCleanly(
    'a limit of 16 threads, and QEMU needs 17 to start with 13 virtual CPUs\n' +
      '  Leave `limits.pids` unset, or raise it to 81 or more.',
  );
});

test('a QEMU that reaches its limit of threads: while it starts, and later', async () => {
  // Every other cluster is written: a long read becomes many at once, each by a thread of its own.
  const path = `${images}/striped.qcow2`;
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '8M']);
  const writes = Array.from({ length: 64 }, (_, index) => ['-c', `write ${index * 128}k 64k`]).flat();
  execFileSync('qemu-io', [...writes, path], { stdio: 'ignore' });
  const machine = (cpus: number): Promise<void> =>
    defineDemo(instance, {
      name: 'threads',
      // Past the host's page cache a read takes long enough for the next one to need a thread of its own.
      more: `${disk(path, 'qcow2', '    cache: none')}\ncpu: { count: ${cpus} }\nlimits: { pids: 16 }\nvnc: true`,
    });

  // How many threads carry the first reads depends on the load of the host; mostly there is one too many.
  await machine(12);
  let start = await instance.qward(['start', '--paused', 'threads']);
  for (let round = 0; round < 20 && start.status === 0; round += 1) {
    await done(instance, 'kill threads');
    start = await instance.qward(['start', '--paused', 'threads']);
  }
  assert.equal(
    start.stderr,
    'machine "threads" was not started: it said: qemu_thread_create: Resource temporarily unavailable\n' +
      '  give the machine less memory or fewer CPUs, raise `limits` in its definition, or stop other machines\n',
  );
  assert.deepEqual(remains(instance, 'threads'), []);

  await machine(4);
  assert.equal(await done(instance, 'start --paused threads'), 'threads: started');
  const read = 'qemu-io -d /machine/peripheral/root/virtio-backend "aio_read 0 8M"';
  for (let round = 0; round < 500 && (await stateOf('threads')) === 'paused'; round += 1)
    await Promise.all(
      Array.from({ length: 4 }, () => instance.client.call('monitor', { name: 'threads', command: read })),
    );
  assert.equal(await done(instance, 'wait threads'), 'threads: crashed');
  const { lastEnd } = await statusOf(instance, 'threads');
  assert.match(
    lastEnd?.message ?? '',
    /: it reached its limit of threads; raise `limits\.pids` in the definition$/,
  );
  assert.match(lastEnd?.log.join() ?? '', /qemu_thread_create: Resource temporarily unavailable/);
  assert.deepEqual(remains(instance, 'threads'), []);
});

async function stateOf(machine: string): Promise<string> {
  const reply = await instance.client.call('status', { name: machine });
  return reply.ok ? reply.result.state : '';
}

/** A directory beneath /usr, where alone a QEMU may lie; removed after the test. */
function systemDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync('/usr/libexec/qward-test-');
  execFileSync('chmod', ['755', path]);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

test('a QEMU that is not there, and one that is too old', async () => {
  using system = systemDirectory();
  const binary = join(system.path, 'qemu-system-x86_64');
  await using own = await startInstance({ policy: { qemuBinaries: [binary] } });
  await defineBare(own, 'web');
  assert.equal(
    await refused(own, 'start web'),
    `there is no QEMU at ${binary}\n` +
      `  apt-get install qemu-system-x86, or name another binary in ${own.paths.policy}`,
  );
  assert.deepEqual(remains(own, 'web'), []);

  // The real one, but for the version that it tells of itself.
  const program = readFileSync('/usr/bin/qemu-system-x86_64');
  const version = /QEMU emulator version (\d+\.\d+\.\d+)/.exec(
    execFileSync('/usr/bin/qemu-system-x86_64', ['--version'], { encoding: 'latin1' }),
  )?.[1];
  assert.ok(version !== undefined);
  const old = version.replace(/^\d+/, (major) => '1'.padStart(major.length, '0'));
  for (let at = program.indexOf(version); at !== -1; at = program.indexOf(version, at + 1))
    program.write(old, at, 'latin1');
  writeFileSync(binary, program, { mode: 0o755 });
  assert.equal(
    await refused(own, 'start web'),
    `"${binary}" is QEMU ${old}; 7.2 or later is needed\n` +
      '  Upgrade QEMU, or list a newer binary in qemuBinaries of the policy.',
  );
  assert.deepEqual(remains(own, 'web'), []);

  own.writePolicy({});
  await startsWell(own);
});

test('a QEMU that others than root could change is not started', async () => {
  using system = systemDirectory();
  const binary = join(system.path, 'qemu-system-x86_64');
  execFileSync('cp', ['/usr/bin/qemu-system-x86_64', binary]);
  execFileSync('chmod', ['775', binary]);
  await using own = await startInstance({ policy: { qemuBinaries: [binary] } });
  await defineBare(own, 'web');
  assert.match(
    await refused(own, 'start web'),
    new RegExp(`^${binary} cannot be used: ${binary} can be written by others than root\n`),
  );
  assert.deepEqual(remains(own, 'web'), []);
});
