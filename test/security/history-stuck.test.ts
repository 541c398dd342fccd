/** Promise 4: the history keeps no call waiting, whatever its file does: a disk that is full, and one that does not answer at all. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { inTime } from '../../src/manager/history/in-time.ts';
import { historyOf } from '../support/history.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, granted, rememberNoKvm, smallMachine } from '../support/small-machine.ts';

/** A file system of its own for the history, which can be filled up and frozen (FIFREEZE: whoever writes waits). */
interface Disk {
  readonly path: string;
  readonly freeze: () => Promise<AsyncDisposable>;
}

/** The sweep unmounts it; the loop device goes with its last user. */
function historyDisk(instance: Instance): Disk {
  const [file, path] = [`${instance.directory}/disk.img`, `${instance.directory}/disk`];
  writeFileSync(file, '');
  truncateSync(file, 16 * 1024 ** 2);
  execFileSync('mkfs.ext4', ['-q', file], { stdio: 'ignore' });
  mkdirSync(path);
  execFileSync('mount', ['-o', 'loop', file, path]);
  mkdirSync(`${path}/own`);
  chownSync(`${path}/own`, instance.managerUid, instance.managerUid);
  chmodSync(path, 0o755);
  mkdirSync(instance.paths.managerState, { recursive: true, mode: 0o700 });
  chownSync(instance.paths.managerState, instance.managerUid, instance.managerUid);
  symlinkSync(`${path}/own/history.db`, `${instance.paths.managerState}/history.db`);
  return {
    path,
    freeze: async () => {
      // Thawed by the end of its input, also where this test is killed; named in no argument, so that no sweep ends it before.
      const script = 'fsfreeze --freeze "$DISK" && echo frozen; cat; fsfreeze --unfreeze "$DISK"';
      const holder = spawn('/bin/sh', ['-c', script], {
        env: { ...process.env, DISK: path },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await once(holder.stdout, 'data');
      return {
        [Symbol.asyncDispose]: async () => {
          if (holder.exitCode !== null) return;
          const ended = once(holder, 'exit');
          holder.stdin.end();
          await ended;
        },
      };
    },
  };
}

async function started(instance: Instance): Promise<number> {
  const begun = performance.now();
  // One that waits for the disk would keep it frozen for ever.
  granted(await inTime(instance.client.call('start', { name: 'web' }), 20_000, 'the start waits'));
  const ms = performance.now() - begun;
  granted(await inTime(instance.client.call('kill', { name: 'web' }), 20_000, 'the kill waits'));
  return ms;
}

async function slowest(instance: Instance, rounds = 5): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await started(instance));
  return Math.max(...times);
}

/** Of a busy machine; whoever waited for the disk would wait for ever, or for the five seconds that SQLite waits. */
const graceMs = 2000;

async function historyIs(instance: Instance, wanted: RegExp): Promise<void> {
  for (const giveUpAt = performance.now() + 30_000; ; await delay(200)) {
    const { stdout } = await instance.qward(['doctor']);
    const found = /^\w+ +history .*$/m.exec(stdout)?.[0] ?? stdout;
    if (wanted.test(found)) return;
    assert.ok(performance.now() < giveUpAt, found);
  }
}

test('a disk that is full, and one that does not answer, delay no start; nothing of it is lost afterwards', async () => {
  await using instance = await startInstance({ down: true });
  const disk = historyDisk(instance);
  await instance.up();
  rememberNoKvm(instance);
  await define(instance, smallMachine('web'));
  await historyOf(instance, ({ call }) => call === 'define');
  const free = await slowest(instance);

  const filler = openSync(`${disk.path}/filler`, 'w');
  assert.throws(() => {
    for (;;) writeSync(filler, Buffer.alloc(65_536));
  }, /ENOSPC/);
  closeSync(filler);
  const full = await slowest(instance);
  assert.ok(full < free + graceMs, `${full} ms on a full disk, ${free} ms before`);
  unlinkSync(`${disk.path}/filler`);

  let begun = 0;
  const thaw = await disk.freeze();
  try {
    const frozen = Math.max(await started(instance), (await delay(500), await slowest(instance)));
    assert.ok(frozen < free + graceMs, `${frozen} ms on a frozen disk, ${free} ms before`);
    // Who asks for the history itself is told, and `doctor` says what is wrong.
    const asked = await instance.qward(['history']);
    assert.equal(asked.status, 1, asked.stdout);
    assert.match(asked.stderr, /the history cannot be read: its disk has not answered for 5 s/);
    await historyIs(instance, /its disk has not answered for \d+ s; \d+ entries wait/);
    begun = await started(instance);
    assert.ok(begun < free + graceMs, `${begun} ms`);
  } finally {
    await thaw[Symbol.asyncDispose]();
  }
  await historyIs(instance, /^ok +history/);
  const entries = granted(await instance.client.call('history', { limit: 10_000 }));
  const starts = entries.filter(({ call, outcome }) => call === 'start' && outcome === 'done').length;
  assert.equal(starts, 5 + 5 + 6 + 1, 'every start is in the history');
});
