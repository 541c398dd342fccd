/** What a machine uses now: of the host by its cgroup, of its disks by QEMU's word, of bridges by its TAP devices. */
import type { CallResult } from '../../api/calls.ts';
import { readProcessUse, readTapUse } from '../../linux/process-use.ts';
import { optionsOf } from '../../plan/launched-options.ts';
import { commands } from '../../qmp/commands.ts';
import type { DriveCounters } from '../../qmp/command-values.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { deviceId } from '../media/change-medium.ts';

export type MachineStats = CallResult<'stats'>;

/** A QEMU that does not answer at once keeps nobody waiting: what it alone knows is left out. */
const answerMs = 1_000;

export class StatsReader {
  readonly #broker: BrokerPort;
  readonly #now: () => Date;
  /** The TAP devices of a run by card: only root sees which they are, and they stay as long as it runs. */
  readonly #taps = new WeakMap<Run, Promise<ReadonlyMap<string, string>>>();

  constructor({ broker, now }: { readonly broker: BrokerPort; readonly now: () => Date }) {
    this.#broker = broker;
    this.#now = now;
  }

  async read(machine: Machine): Promise<MachineStats> {
    const { name, state, record, run } = machine;
    const at = this.#now().toISOString();
    const cpus = record?.definition.cpu.count ?? 0;
    if (run === undefined) return { name, state, at, cpu: null, memory: null, disks: null, nics: [] };
    const { launched } = run;
    const { cpuSeconds, memory } = readProcessUse(launched);
    const { session } = run;
    const [disks, balloon, nics] = await Promise.all([
      session === undefined ? null : this.#disks(run, session),
      session === undefined ? null : commands.queryBalloon(session, { timeoutMs: answerMs }),
      this.#nics(run),
    ]);
    return {
      name,
      state,
      at,
      cpu: cpuSeconds === null ? null : { seconds: cpuSeconds, cpus },
      memory:
        memory === null
          ? null
          : {
              used: memory,
              limit: launched.launch.limits.memory,
              guest: balloon?.ok === true ? balloon.value : (record?.definition.memory ?? null),
            },
      disks,
      nics,
    };
  }

  async #disks(run: Run, session: NonNullable<Run['session']>): Promise<MachineStats['disks']> {
    const counted = await commands.queryBlockStats(session, { timeoutMs: answerMs });
    if (!counted.ok) return null;
    const known = new Set(
      optionsOf({ argv: run.launched.launch.argv }, '-device').map(({ id }) => String(id)),
    );
    for (const { id } of run.hotplug.disks) known.add(id);
    // QEMU's word is no more than a word: of devices that it was not given nothing is told.
    return counted.value
      .map((one): DriveCounters => ({ ...one, device: deviceId(one.device) }))
      .filter(({ device }) => known.has(device))
      .map(({ device, ...counters }) => ({ disk: device, ...counters }));
  }

  async #nics(run: Run): Promise<MachineStats['nics']> {
    const attached = run.hotplug.cards.map(({ id, card }) => [id, card.tap] as const);
    const cards = tapCards(run);
    if (cards.size === 0) return usesOf(attached);
    const names = this.#taps.get(run) ?? this.#lookForTaps(run, cards);
    this.#taps.set(run, names);
    const taps = await names;
    if (taps.size === 0) this.#taps.delete(run);
    return usesOf([...taps, ...attached]);
  }

  async #lookForTaps(run: Run, cards: ReadonlyMap<number, string>): Promise<ReadonlyMap<string, string>> {
    const facts = await this.#broker.call('inspect', { machine: run.launched.machine });
    if (!facts.ok) return new Map();
    return new Map(
      facts.value.descriptors.flatMap(({ fd, tap }) => {
        const nic = cards.get(fd);
        return nic === undefined || tap === undefined ? [] : [[nic, tap] as const];
      }),
    );
  }
}

function usesOf(taps: readonly (readonly [nic: string, tap: string])[]): MachineStats['nics'] {
  return taps.flatMap(([nic, tap]) => {
    const use = readTapUse(tap);
    return use === null ? [] : [{ nic, ...use }];
  });
}

/** Cards on bridges, by the descriptor that QEMU was given: it keeps the number. */
function tapCards(run: Run): ReadonlyMap<number, string> {
  return new Map(
    optionsOf({ argv: run.launched.launch.argv }, '-netdev').flatMap(({ type, id, fd, fds }) =>
      type === 'tap' && typeof id === 'string'
        ? [[Number.parseInt(String(fd ?? fds)), id.replace(/^net\./, '')] as const]
        : [],
    ),
  );
}
