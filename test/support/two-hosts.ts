/** Two instances of qward in two network namespaces, with one storage: two hosts for machines that move. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { statusOf } from './driver.ts';
import { startInstance, type CommandOutcome, type Instance, type RunOptions } from './instance.ts';
import { createNetwork } from './network.ts';

export interface TwoHosts extends AsyncDisposable {
  readonly one: Instance;
  readonly other: Instance;
  readonly otherOf: (host: Instance) => Instance;
  /** Runs `qward migrate` on this one, to the other. */
  readonly migrate: (
    from: Instance,
    words: readonly string[],
    options?: RunOptions,
  ) => Promise<CommandOutcome>;
  /** The host on which the machine runs, or stands; undefined: on none. Fails where it is on both. */
  readonly hostOf: (machine: string) => Promise<Instance | undefined>;
}

export async function startTwoHosts(): Promise<TwoHosts> {
  const networks = [await createNetwork(), await createNetwork()];
  const [first, second] = networks.map(({ path }) => path);
  const one = await startInstance(first === undefined ? {} : { network: first });
  const other = await startInstance(second === undefined ? {} : { network: second });
  // The storage of the one is on the other by the same path, as a shared file system is.
  for (const host of [one, other])
    host.writePolicy({
      storageRoots: [one, other].flatMap(({ paths, guest }) => [
        { path: paths.images, access: 'rw' },
        { path: guest.kernel.replace(/\/[^/]*$/, ''), access: 'ro' },
        { path: guest.initrd.replace(/\/[^/]*$/, ''), access: 'ro' },
      ]),
    });
  const otherOf = (host: Instance): Instance => (host === one ? other : one);
  return {
    one,
    other,
    otherOf,
    migrate: (from, [machine = '', ...words], options) =>
      from.qward(['migrate', machine, otherOf(from).paths.apiSocket, ...words], {
        timeoutMs: 120_000,
        ...options,
      }),
    hostOf: async (machine) => {
      const running: Instance[] = [];
      for (const host of [one, other]) {
        const status = await statusOf(host, machine).catch(() => undefined);
        if (status?.state === 'running') running.push(host);
      }
      assert.ok(running.length < 2, `${machine} runs on both`);
      return running[0];
    },
    [Symbol.asyncDispose]: async () => {
      await one[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      for (const network of networks) network[Symbol.dispose]();
    },
  };
}

/** Numbers that the guest has said to be on its disk, in their order, as this host heard them. */
export async function counted(host: Instance, machine: string): Promise<number[]> {
  const { stdout } = await host.qward(['console', machine, '--log']);
  return [...stdout.matchAll(/synced (\d+)\r?\n/g)].map(([, number]) => Number(number));
}

/** Until it has counted on here beyond this; gives all that was heard here. */
export async function countsOn(host: Instance, machine: string, from: number): Promise<readonly number[]> {
  const giveUpAt = performance.now() + 60_000;
  for (;;) {
    const numbers = await counted(host, machine);
    if ((numbers.at(-1) ?? 0) > from + 2) return numbers;
    assert.ok(performance.now() < giveUpAt, `it does not count on from ${from}: ${numbers.join()}`);
    await delay(100);
  }
}

export const steps = (numbers: readonly number[]): readonly number[] =>
  numbers.slice(1).map((number, index) => number - (numbers[index] ?? 0));
