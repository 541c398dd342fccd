/**
 * Addresses of running guests: those of leases of managed networks, what the host's neighbour table (arp(7), /proc/net/arp) has for
 * their cards, and what the agent in the guest says. The last two are looked for now and then; what a guest says is shown, and
 * decides nothing.
 */
import { readFileSync } from 'node:fs';
import { unlessMissing } from '../../linux/errno.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { agentCommands } from '../../qmp/agent-commands.ts';
import type { Run } from '../lifecycle/run.ts';

/** As many as a guest may have shown. */
export const maxAddresses = 16;
/** Rounds between questions to an agent, and silent ones after which it is asked no more. */
const agentRounds = 3;
const maxSilences = 3;
const agentTimeoutMs = 3_000;

/** MAC addresses of the cards of a launch; the arguments are qward's own. */
export function macsOf({ argv }: Pick<LaunchRequest, 'argv'>): readonly string[] {
  return argv.flatMap((word) => /^{.*"mac":"([0-9a-f:]{17})"/.exec(word)?.[1] ?? []);
}

/** Addresses by MAC address that the table has seen: its third column is 0x2 for those. */
export function neighboursIn(table: string): ReadonlyMap<string, readonly string[]> {
  const found = table.split('\n').flatMap((line) => {
    const [address = '', , flags, mac = ''] = line.trim().split(/\s+/);
    return flags === '0x2' && mac !== '' ? [{ address, mac: mac.toLowerCase() }] : [];
  });
  return new Map(
    [...Map.groupBy(found, ({ mac }) => mac)].map(([mac, rows]) => [mac, rows.map(({ address }) => address)]),
  );
}

interface Known {
  neighbours: readonly string[];
  agent: readonly string[];
  round: number;
  silences: number;
}

const readNeighbours = (): string => unlessMissing(() => readFileSync('/proc/net/arp', 'latin1')) ?? '';

export class Addresses {
  readonly #known = new WeakMap<Run, Known>();
  readonly #read: () => string;

  constructor(read = readNeighbours) {
    this.#read = read;
  }

  /** Leases first. */
  of(run: Run): readonly string[] {
    const { neighbours = [], agent = [] } = this.#known.get(run) ?? {};
    const leases = run.networks?.states.flatMap(({ address }) => address ?? []) ?? [];
    return [...new Set([...leases, ...neighbours, ...agent])].slice(0, maxAddresses);
  }

  /** One round over all that run; `onChange` for those whose addresses are others now. */
  async look(runs: readonly Run[], onChange: (run: Run) => void): Promise<void> {
    if (runs.length === 0) return;
    const table = neighboursIn(this.#read());
    await Promise.all(
      runs.map(async (run) => {
        const before = this.of(run).join();
        const known = this.#known.get(run) ?? { neighbours: [], agent: [], round: 0, silences: 0 };
        this.#known.set(run, known);
        // An entry goes some time after the last packet: what was seen once stays as long as the machine runs.
        const seen = macsOf(run.launched.launch).flatMap((mac) => table.get(mac) ?? []);
        if (seen.length > 0) known.neighbours = seen;
        if (run.agent.there && known.silences < maxSilences && known.round % agentRounds === 0) {
          const answer = await agentCommands.addresses(run.agent, undefined, { timeoutMs: agentTimeoutMs });
          known.silences = answer.ok ? 0 : known.silences + 1;
          if (answer.ok) known.agent = answer.value;
        }
        known.round += 1;
        if (this.of(run).join() !== before) onChange(run);
      }),
    );
  }
}
