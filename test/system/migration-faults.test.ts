/**
 * Whoever dies in the middle of a move, at each of its steps: its guest goes on, on exactly one host; where the QEMU that has it is
 * killed it is as after a crash, and starts on exactly one host.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { consoleShows, defineDemo, done, processesOf, refused, statusOf } from '../support/driver.ts';
import { moveHeld, type HeldFrame } from '../support/held-move.ts';
import type { Instance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';
import { counted, startTwoHosts } from '../support/two-hosts.ts';

const hosts = await startTwoHosts();
after(() => hosts[Symbol.asyncDispose]());
const { one, other } = hosts;
const image = one.disk('web');
const frames: readonly HeldFrame[] = ['offer', 'ready', 'bytes', 'eof', 'loaded', 'go', 'running'];

before(async () => {
  await defineDemo(one, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  const source = await done(one, 'show web');
  await done(other, 'define -', { stdin: source });
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b/);
});

interface Heard {
  /** The last number that its guest has said. */
  readonly last: number;
  /** How many each host has heard so far. */
  readonly so: ReadonlyMap<Instance, number>;
}

/** Numbers begin anew with each boot, and each host keeps what it heard of earlier stays. */
async function hear(at: Instance): Promise<Heard> {
  const [mine, theirs] = [await counted(one, 'web'), await counted(other, 'web')];
  return {
    last: (at === one ? mine : theirs).at(-1) ?? 0,
    so: new Map([
      [one, mine.length],
      [other, theirs.length],
    ]),
  };
}

/** Until each side has said where it is; what was not heard is asked for, as its user would. */
async function settled(): Promise<Instance | undefined> {
  const giveUpAt = performance.now() + 90_000;
  for (;;) {
    const [left, right] = await Promise.all(
      [one, other].map((host) => statusOf(host, 'web').catch(() => undefined)),
    );
    const known = left !== undefined && right !== undefined;
    const resting =
      known &&
      [left, right].every(({ state }) => ['running', 'stopped', 'crashed', 'failed'].includes(state));
    if (resting && left.moved?.kind !== 'given' && right.moved?.kind !== 'given')
      return await hosts.hostOf('web');
    for (const [host, status] of [
      [one, left],
      [other, right],
    ] as const)
      if (status?.moved?.kind === 'given') await hosts.migrate(host, ['web']);
    assert.ok(performance.now() < giveUpAt, JSON.stringify([left, right]));
    await delay(100);
  }
}

/** Whether it counts on there, without a number said twice; else its QEMU is found to be gone. */
async function goesOn(host: Instance, { last, so }: Heard): Promise<boolean> {
  const giveUpAt = performance.now() + 60_000;
  for (;;) {
    const numbers = (await counted(host, 'web')).slice(so.get(host));
    const all = [last, ...numbers];
    assert.ok(
      all.every((number, index) => index === 0 || number > (all[index - 1] ?? 0)),
      all.join(),
    );
    if (numbers.length > 1) return true;
    if ((await statusOf(host, 'web')).state === 'crashed') return false;
    assert.ok(performance.now() < giveUpAt, `it does not count on from ${last}`);
    await delay(100);
  }
}

/** Starts what crashed: the one host lets it, the other does not. */
async function startsOnOne(): Promise<Instance> {
  const outcomes = [];
  for (const host of [one, other]) outcomes.push(await host.qward(['start', 'web']));
  const words = JSON.stringify(outcomes);
  assert.equal(outcomes.filter(({ status }) => status === 0).length, 1, words);
  const host = outcomes[0]?.status === 0 ? one : other;
  assert.match(outcomes[host === one ? 1 : 0]?.stderr ?? '', /was moved to|was to come here|in use/, words);
  // What it said before it crashed is in its console, too: only what comes now is of this boot.
  await consoleShows(host, 'web', /synced \d+\r?\n/, { replay: false });
  return host;
}

/** Where it runs; it is started where it does not. */
const somewhere = async (): Promise<Instance> => (await settled()) ?? (await startsOnOne());

const victims = [
  'the connection',
  'the manager that gives',
  'the manager that takes',
  'the QEMU that gives',
  'the QEMU that takes',
] as const;

for (const victim of victims)
  for (const at of frames)
    test(`${victim} ends while "${at}" is on its way`, async () => {
      const from = await somewhere();
      const to = hosts.otherOf(from);
      const heard = await hear(from);
      await moveHeld({
        machine: 'web',
        from,
        to,
        at,
        act: async (cut) => {
          if (victim === 'the connection') cut();
          else if (victim.startsWith('the manager'))
            await killProcess((victim.endsWith('gives') ? from : to).daemon('manager'));
          else {
            // Of a QEMU whose start is under way the manager tells no pid.
            const [pid] = processesOf(victim.endsWith('gives') ? from : to, 'web');
            if (pid !== undefined) await killProcess(pid);
          }
        },
      });
      if (victim.startsWith('the manager')) await (victim.endsWith('gives') ? from : to).up();
      const host = await settled();
      const lives = host !== undefined && (await goesOn(host, heard));
      assert.ok(lives || /QEMU/.test(victim), 'only where its QEMU was killed it is nowhere');
      const elsewhere = host === undefined ? undefined : hosts.otherOf(host);
      if (elsewhere !== undefined && (await statusOf(elsewhere, 'web')).moved !== null)
        assert.match(await refused(elsewhere, 'start web'), /was moved to|was to come here/);
    });

test('its disk is whole after all of that', async () => {
  await done(await somewhere(), 'kill web');
  execFileSync('/usr/bin/qemu-img', ['check', '-r', 'leaks', image]);
});
