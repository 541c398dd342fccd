/** `qward run --from`: throwaway machines that go on from one saved state, which stays as it is. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { define, done, refused, statusOf } from '../support/driver.ts';
import { startInstance, type CommandOutcome } from '../support/instance.ts';
import { rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft, throwawayThatRuns } from '../support/throwaways.ts';
import { saveWarm } from '../support/warm-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
let disk = '';
const states = `${instance.paths.managerState}/saved/warm`;
const atOnce = 4;

/** The files of the saved machine: what they are, and what is in them. */
function asTheyAre(): readonly unknown[] {
  return [disk, ...readdirSync(states).map((file) => join(states, file))].map((path) => {
    const { ino, mode, size, mtimeMs } = statSync(path);
    return [path, ino, mode, size, mtimeMs, createHash('sha256').update(readFileSync(path)).digest('hex')];
  });
}

before(async () => {
  rememberNoKvm(instance);
  disk = await saveWarm(instance);
});

const copy = (script: string, ...options: readonly string[]): Promise<CommandOutcome> =>
  instance.qward(['run', '--from', 'warm', ...options, 'sh', '-c', script], { timeoutMs: 90_000 });

test('a command runs in a copy: the guest is where it was, with the time of now, and what it writes is thrown away', async () => {
  const untouched = asTheyAre();
  const script = 'grep stack /proc/1/maps; date +%s; echo spoilt >/dev/vda; sync; head -c 6 /dev/vda; exit 7';
  const [first, second] = [await copy(script), await copy(script)];
  assert.equal(first.status, 7, first.stderr);
  assert.equal(second.status, 7, second.stderr);
  const [stack, clock = '', written] = first.stdout.split('\n');
  assert.ok(Math.abs(Number(clock) - Date.now() / 1000) < 60, `its clock says ${clock}`);
  assert.equal(written, 'spoilt');
  assert.match(stack ?? '', /stack/);
  assert.equal(second.stdout.split('\n')[0], stack, 'both are of the same boot');
  assert.deepEqual(asTheyAre(), untouched);
  assert.equal((await statusOf(instance, 'warm')).state, 'saved');
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('several at once have each a generation, disks and random numbers of their own, and every wall', async () => {
  const untouched = asTheyAre();
  const script = 'cat /proc/sys/kernel/random/uuid; read line; echo $line >/dev/vda; head -c 2 /dev/vda';
  const copies = await Promise.all(
    Array.from({ length: atOnce }, () => instance.client.run({ from: 'warm' })),
  );
  const generations = copies.map(async ({ name }) => {
    const { pid } = await statusOf(instance, name);
    await done(instance, ['audit', name]);
    return /"driver":"vmgenid"[^}]*"guid":"([^"]+)"/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.[1];
  });
  const ids = await Promise.all(generations);
  assert.ok(ids.every((id) => id !== undefined && id !== 'auto'));
  assert.equal(new Set(ids).size, atOnce);
  const outputs = await Promise.all(
    copies.map(async (machine, at) => {
      const { stdout } = await machine.exec(['sh', '-c', script], { input: `${at}\n` });
      return stdout.toString().split('\n');
    }),
  );
  assert.equal(new Set(outputs.map(([random]) => random)).size, atOnce);
  assert.deepEqual(
    outputs.map(([, line]) => line),
    copies.map((_, at) => String(at)),
  );
  for (const machine of copies) await machine[Symbol.asyncDispose]();
  assert.deepEqual(asTheyAre(), untouched);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('what a copy cannot have, or be of, is said before anything is started', async () => {
  const run = (words: string): Promise<string> => refused(instance, `run ${words}`, { status: 255 });
  assert.match(
    await refused(instance, 'run --from warm --memory 1GiB --net user true', { status: 2 }),
    /--memory[^]*--net user/,
  );
  assert.match(await run('--from nobody true'), /there is no machine "nobody"/);
  await define(instance, 'name: cold\naccel: tcg\nmemory: 32MiB\n');
  assert.match(await run('--from cold true'), /machine "cold" has no saved state/);
  await done(instance, 'start cold');
  await done(instance, 'save cold');
  assert.match(await run('--from cold true'), /has no runner[^]*create NAME --image IMAGE --runner/);
  await done(instance, 'rm --force --yes cold');
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('while a copy runs its saved machine does not start, and afterwards it goes on where it was', async () => {
  const running = copy('sleep 1000', '--ttl', '60s');
  const { name } = await throwawayThatRuns(instance);
  assert.match(await refused(instance, 'start warm'), new RegExp(`${name}|in use|lock`));
  assert.equal((await statusOf(instance, 'warm')).state, 'saved');
  await done(instance, ['kill', name]);
  assert.equal((await running).status, 255);
  assert.equal(await done(instance, 'start warm'), 'warm: restored');
  const { stderr } = await copy('true');
  assert.match(stderr, /machine "warm" has no saved state/);
});

test('a disk that was written to since, and a state that is damaged, let no copy go on', async () => {
  await done(instance, 'save warm');
  const [memory = ''] = readdirSync(states).filter((file) => file.endsWith('.zst'));
  const bytes = readFileSync(join(states, memory));
  const damaged = Buffer.from(bytes);
  damaged.writeUInt8(damaged.readUInt8(damaged.length >> 1) ^ 1, damaged.length >> 1);
  writeFileSync(join(states, memory), damaged);
  assert.match((await copy('true')).stderr, /its memory is damaged|load of migration failed/);
  writeFileSync(join(states, memory), bytes);
  assert.equal((await copy('true')).status, 0);
  const image = readFileSync(disk);
  writeFileSync(disk, image);
  assert.match((await copy('true')).stderr, /warm\.qcow2 was written to/);
  assert.deepEqual(await throwawaysLeft(instance), []);
});
