/** A block device that the policy names as a disk: a guest reads and writes it, `qward disk` knows it, and nobody changes its node. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { traces } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type CommandOutcome, type Instance } from '../support/instance.ts';
import { consoleShows, define, granted, start } from '../support/small-machine.ts';

const MiB = 1024 ** 2;
const directory = mkdtempSync(join(tmpdir(), 'qward-device-'));
const loops: string[] = [];
let instance: Instance;

/** A loop device of this size. */
function makeLoop(name: string, size: number): string {
  const file = join(directory, name);
  writeFileSync(file, '');
  truncateSync(file, size);
  const loop = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  loops.push(loop);
  return loop;
}

function bytesOf(device: string, at: number, length: number): string {
  const fd = openSync(device, 'r');
  try {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, at);
    return bytes.toString('latin1');
  } finally {
    closeSync(fd);
  }
}

const nodeOf = (path: string): unknown => {
  const { uid, gid, mode, rdev } = statSync(path);
  return { uid, gid, mode, rdev };
};

before(async () => {
  const [used, spare, unlisted] = [
    makeLoop('used', 16 * MiB),
    makeLoop('spare', 16 * MiB),
    makeLoop('other', MiB),
  ];
  assert.ok(unlisted !== undefined);
  const blockDevices = [used, spare].map((path) => ({ path, access: 'rw' }));
  instance = await startInstance({ policy: { blockDevices, ceilings: { fileSize: 1024 ** 4 } } });
});
after(async () => {
  await instance[Symbol.asyncDispose]();
  for (const loop of loops) execFileSync('losetup', ['--detach', loop]);
  rmSync(directory, { recursive: true });
});

async function disk(words: string, expected = 0): Promise<CommandOutcome> {
  const outcome = await instance.qward(['disk', ...words.split(' ')]);
  assert.equal(outcome.status, expected, `${words}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}

test('a guest reads what the host wrote on the device, writes to it, and its node is as it was', async () => {
  const [used = ''] = loops;
  const fd = openSync(used, 'r+');
  writeSync(fd, 'written by the host\n', 0, 'latin1');
  writeSync(fd, Buffer.from('written by the host\n'), 0, 20, 0);
  closeSync(fd);
  const node = nodeOf(used);
  const source = demoMachine({ name: 'one', guest: instance.guest, memory: '96MiB' });
  await define(instance, `${source}disks:\n  - {id: root, path: ${used}, format: raw}\n`);
  await start(instance, 'one');
  await consoleShows(instance, 'one', /disk vda, 16 MiB/);
  await consoleShows(instance, 'one', /qward-demo: ready/);
  const stream = granted(
    await instance.client.console({ name: 'one', mode: 'write', steal: true, replay: false }),
  );
  // In two halves, so that what is typed and shown is not what is looked for.
  stream.write(Buffer.from('dd if=/dev/vda bs=20 count=1 2>/dev/null; echo read-"done"\n'));
  assert.match(await consoleShows(instance, 'one', /read-done/), /written by the host/);
  stream.write(
    Buffer.from(
      'echo written by the guest | dd of=/dev/vda bs=512 seek=8 conv=fsync,sync 2>/dev/null; echo wrote-"done"\n',
    ),
  );
  await consoleShows(instance, 'one', /wrote-done/);
  stream.close();
  assert.deepEqual(nodeOf(used), node, 'while it runs');
  const audited = await instance.qward(['audit', 'one']);
  assert.equal(audited.status, 0, audited.stdout);
  assert.equal(granted(await instance.client.call('stop', { name: 'one' })).outcome, 'shut down');
  assert.equal(bytesOf(used, 8 * 512, 21), 'written by the guest\n');
  assert.equal(bytesOf(used, 0, 20), 'written by the host\n');
  assert.deepEqual(nodeOf(used), node);
  assert.deepEqual(traces(instance), []);
});

test('qward disk neither reads nor writes a device, listed or not, and says why', async () => {
  const [used = '', spare = '', unlisted = ''] = loops;
  const nodes = loops.map(nodeOf);
  const { images } = instance.paths;
  await disk(`create ${images}/image.qcow2 8MiB`);
  for (const words of [
    `info ${spare} --format raw`,
    `resize ${spare} 32MiB --format raw`,
    `convert ${used} ${images}/copy.qcow2 --format raw`,
  ]) {
    const { stderr } = await disk(words, 1);
    assert.match(stderr, /is a block device, .*image tool/, words);
    assert.match(stderr, /qemu-img convert -f raw \/dev\/loop/, words);
  }
  for (const words of [
    `create ${spare} 8MiB --format raw`,
    `convert ${images}/image.qcow2 ${spare} --to raw`,
  ]) {
    const { stderr } = await disk(words, 4);
    assert.match(stderr, /device|storage root/, words);
  }
  assert.match((await disk(`info ${unlisted} --format raw`, 4)).stderr, /blockDevices/);
  assert.equal(bytesOf(spare, 0, 16), '\0'.repeat(16), 'nothing was written');
  assert.deepEqual(loops.map(nodeOf), nodes);
});
