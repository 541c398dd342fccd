/**
 * QEMU, manager or broker are killed at random moments of everything that changes the images of a running machine. Whatever dies,
 * the definition then names a chain whose images are sound, in the order of their headers, with every byte that the guest had synced.
 * QWARD_ROUNDS: how many; QWARD_SEED repeats those of a run.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { checkImage, counted, counterIn, definedImages, untilCounts } from '../support/block-chains.ts';
import { consoleShows, done, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';

const rounds = Number(process.env['QWARD_ROUNDS'] ?? 12);
const seed = Number(process.env['QWARD_SEED'] ?? Date.now() % 1_000_000);
let state = seed;
/** From 0 to below `most`; of the seed alone (mulberry32). */
function random(most: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * most);
}

const alice = 910_000_061;
const instance = await startWithAccounts([{ name: 'alice', uid: alice }]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice'], groups: [] } });
const home = closedHome(instance, 'alice', alice);
const asAlice = { uid: alice };
const first = join(home, 'first.qcow2');
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const imagesNow = (): Promise<string[]> => definedImages(instance, 'shop', 'root');

/** As the headers have it. */
function headerImages(top: string): string[] {
  const text = execFileSync('qemu-img', ['info', '-U', '--backing-chain', '--output=json', top], {
    encoding: 'utf8',
  });
  return (JSON.parse(text) as { readonly filename: string }[]).map(({ filename }) => filename);
}

async function start(): Promise<void> {
  await done(instance, 'start shop', asAlice);
  const from = await counted(instance, 'shop');
  await consoleShows(instance, 'shop', /synced \d/);
  for (let times = 0; (await counted(instance, 'shop')).length < from.length + 3; times += 1) {
    assert.ok(times < 600, 'the guest does not count');
    await pause(100);
  }
}

type Victim = 'qemu' | 'manager' | 'broker';
const victims: readonly (readonly Victim[])[] = [
  ['qemu'],
  ['manager'],
  ['broker'],
  ['manager', 'qemu'],
  ['qemu', 'manager', 'broker'],
];

function kill(pid: number | null): void {
  try {
    if (pid !== null) process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Within the callback itself: between one step of the manager and the next. `writes`: of its note of the run, and of the definition. */
function killAtWrite(writes: number, pids: readonly (number | null)[]): Promise<void> {
  const { managerState } = instance.paths;
  return new Promise((resolve) => {
    let seen = 0;
    const end = (): void => {
      clearTimeout(timer);
      for (const one of watchers) one.close();
      for (const pid of pids) kill(pid);
      resolve();
    };
    const onWrite = (_event: string, file: string | null): void => {
      if (file !== 'shop.json' && file !== 'shop.yaml') return;
      seen += 1;
      if (seen === writes) end();
    };
    const watchers = ['runs', 'machines'].map((name) => watch(join(managerState, name), onWrite));
    const timer = setTimeout(end, 10_000);
  });
}

const kinds = ['mirror', 'overlay', 'commit', 'pull', 'backup'] as const;
const overlay = (round: number): readonly string[] => [
  'snapshot',
  'create',
  'shop',
  `s${round}`,
  '--disks-only',
];

interface Death {
  readonly kind: (typeof kinds)[number];
  readonly dying: readonly Victim[];
  /** 0: at some moment, else with this write. */
  readonly writes: number;
}

/** Where a manager died and its successor did not do all: QEMU kept the image below open to be written; the guest stood still. */
const known: readonly Death[] = [2, 4, 6].map((writes) => ({ kind: 'commit', dying: ['manager'], writes }));

/** Each kind in its turn; every second one between two steps, the others at any time. */
const atRandom = (round: number): Death => ({
  kind: kinds[round % kinds.length] ?? 'overlay',
  dying: victims[random(victims.length)] ?? [],
  writes: round % 2 === 0 ? 1 + random(7) : 0,
});

/** For one that needs a chain there is one. */
async function operation(kind: Death['kind'], round: number): Promise<readonly string[]> {
  const rate = random(2) === 0 ? ['--rate', '16MiB'] : [];
  if ((kind === 'commit' || kind === 'pull') && (await imagesNow()).length === 1)
    await done(instance, overlay(round), asAlice);
  switch (kind) {
    case 'mirror':
      return ['mirror', 'shop', 'root', join(home, `mirror-${round}.qcow2`), ...rate];
    case 'commit':
    case 'pull':
      return [kind, 'shop', 'root', ...rate];
    case 'backup':
      return ['backup', 'create', 'shop', '--to', home, ...rate];
    case 'overlay':
      return overlay(round);
  }
}

before(async () => {
  await done(instance, ['disk', 'create', first, '32MiB'], asAlice);
  execFileSync('qemu-io', ['-c', 'write -q -P 7 1M 24M', first]);
  const source = demoMachine({
    name: 'shop',
    guest: instance.guest,
    disk: first,
    switches: 'qward.synced',
    memory: '96MiB',
  });
  await done(instance, 'define -', { ...asAlice, stdin: source });
});

for (let round = 1; round <= known.length + rounds; round += 1)
  test(`round ${round} of ${known.length + rounds} (seed ${seed}): nothing that was synced is lost`, async (context) => {
    if ((await statusOf(instance, 'shop')).state !== 'running') await start();
    const { pid } = await statusOf(instance, 'shop');
    const { kind, dying, writes } = known[round - 1] ?? atRandom(round);
    const words = await operation(kind, round);
    const before = await imagesNow();
    const afterMs = 250 + random(4000);
    const pids = dying.map((victim) => (victim === 'qemu' ? pid : instance.daemon(victim)));
    const killed = writes > 0 ? killAtWrite(writes, pids) : pause(afterMs).then(() => pids.forEach(kill));
    const { status } = await instance.qward(words, asAlice);
    await killed;
    // Until the kernel has ended them.
    await pause(500);
    context.diagnostic(
      `${words.slice(0, 2).join(' ')}, ${dying.join('+')} ${writes > 0 ? `at write ${writes}` : `after ${afterMs} ms`}: ${status}`,
    );
    await instance.up();
    // What was interrupted is settled with one of the next probes.
    for (let times = 0; !dying.includes('qemu') && times < 60; times += 1) {
      const chain = await instance.client.call('chain', { name: 'shop' });
      if (chain.ok && chain.result.busy === null) break;
      await pause(500);
    }
    const now = await statusOf(instance, 'shop');
    if (!dying.includes('qemu')) {
      assert.equal(now.state, 'running');
      await done(instance, 'audit shop');
      await untilCounts(instance, 'shop', 2);
      const chain = await instance.client.call('chain', { name: 'shop' });
      assert.ok(chain.ok);
      assert.equal(chain.result.busy, null);
      assert.deepEqual(
        chain.result.disks[0]?.images.map(({ path }) => path),
        await imagesNow(),
      );
      // Its guest goes on in the next round.
      if (round > known.length && round % 3 !== 0 && round !== known.length + rounds) return;
      kill(now.pid);
    }
    const ended = await instance.client.call('wait', {
      name: 'shop',
      states: ['stopped', 'crashed'],
      timeoutMs: 30_000,
    });
    assert.ok(ended.ok, JSON.stringify(ended));
    const last = (await counted(instance, 'shop')).at(-1) ?? 0;
    const images = await imagesNow();
    assert.deepEqual(headerImages(images[0] ?? ''), images, `${before.join(', ')} before`);
    for (const image of images) checkImage(image);
    assert.ok(counterIn(instance, images[0] ?? '') >= last, `synced ${last}`);
    // What the guest never wrote is there too, in whichever image by now.
    const read = execFileSync('qemu-io', ['-r', '-c', 'read -P 7 1M 24M', images[0] ?? ''], {
      encoding: 'utf8',
    });
    assert.match(read, /^read 25165824\/25165824 bytes/m);
    assert.doesNotMatch(read, /failed/i);
    for (const name of readdirSync(home))
      if (/\.qcow2(?:\.|$)|qward-disk/.test(name) && !images.includes(join(home, name)))
        rmSync(join(home, name));
  });
