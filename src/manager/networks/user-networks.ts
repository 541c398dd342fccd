/** The user networks of one running machine, and how a manager makes them: at a start, and for what runs already. */
import type { AuditReport } from '../../audit/report.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { streamCards } from '../../plan/nics.ts';
import { helperName, planHelper, userNicsOf } from '../../plan/user-network.ts';
import type { NetworkHelper, UserNetworkFacts } from '../../plan/launch-plan.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { NetSocketName } from '../../protocol/launch.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { UserNetwork, type NetworkServices, type NetworkState } from './user-network.ts';

export interface NetworksServices extends NetworkServices {
  readonly facts: () => Promise<UserNetworkFacts>;
  /** The definition of now; undefined: the machine is not defined. */
  readonly definitionOf: (machine: string) => MachineDefinition | undefined;
  /** A helper as the broker last told of it. */
  readonly launched: (helper: string) => LaunchedMachine | undefined;
  /** For the machine's log. */
  readonly note: (machine: string, text: string) => void;
}

export interface Networks {
  /** Before the guest runs: every card whose helper is planned is served, and every wall of it was seen. */
  readonly begin: (run: Run, helpers: readonly NetworkHelper[]) => Promise<Outcome<void>>;
  /** For a machine that an earlier manager started. */
  readonly adopt: (run: Run) => Promise<void>;
}

/** For runs that have no network. */
export const noNetworks: Networks = {
  begin: () => Promise.resolve(success(undefined)),
  adopt: () => Promise.resolve(),
};

export class UserNetworks {
  readonly #cards: readonly UserNetwork[];

  constructor(cards: readonly UserNetwork[]) {
    this.#cards = cards;
  }

  get states(): readonly NetworkState[] {
    return this.#cards.map((card) => card.state);
  }

  get helpers(): readonly NetworkHelper[] {
    return this.#cards.map((card) => card.helper);
  }

  /** Undefined: the machine runs without such a card. */
  async apply(nic: string): Promise<Outcome<void> | undefined> {
    return await this.#cards.find(({ state }) => state.nic === nic)?.apply();
  }

  /** Of those that run. */
  async audits(): Promise<Outcome<readonly AuditReport[]>> {
    const reports: AuditReport[] = [];
    for (const card of this.#cards) {
      const report = await card.audit();
      if (report?.ok === false) return report;
      if (report !== undefined) reports.push(report.value);
    }
    return success(reports);
  }

  /** QEMU says that one of them was cut off. */
  nudge(): void {
    for (const card of this.#cards) card.nudge();
  }

  release(): void {
    for (const card of this.#cards) card.release();
  }
}

export function createNetworks(services: NetworksServices): Networks {
  const cardOf = (run: Run, nic: string, socket: NetSocketName) => ({
    run,
    nic,
    note: (text: string) => services.note(run.launched.machine, text),
    plan: () => planAgain(services, run.launched.machine, { nic, socket }),
  });
  return {
    begin: async (run, helpers) => {
      const cards = streamCards(run.launched.launch).flatMap(({ nic, socket }) => {
        const helper = helpers.find((one) => one.nic === nic);
        return helper === undefined ? [] : [new UserNetwork(services, cardOf(run, nic, socket), helper)];
      });
      run.networks = new UserNetworks(cards);
      for (const card of cards) {
        const begun = await card.begin();
        if (!begun.ok) return begun;
      }
      return success(undefined);
    },
    adopt: async (run) => {
      const { machine } = run.launched;
      const cards: UserNetwork[] = [];
      for (const { nic, socket } of streamCards(run.launched.launch)) {
        const known = services.launched(helperName(machine, socket));
        const planned = await planAgain(services, machine, { nic, socket });
        const helper = known === undefined ? planned : { nic, launch: known.launch };
        if (helper === undefined) continue;
        const card = new UserNetwork(services, cardOf(run, nic, socket), helper);
        cards.push(card);
        await card.adopt(known);
      }
      run.networks = new UserNetworks(cards);
    },
  };
}

/** The socket is the running QEMU's, whatever has become of the order of cards since. */
async function planAgain(
  { facts, definitionOf }: NetworksServices,
  machine: string,
  { nic, socket }: { readonly nic: string; readonly socket: NetSocketName },
): Promise<NetworkHelper | undefined> {
  const definition = definitionOf(machine);
  const card = definition && userNicsOf(definition).find((one) => one.nic.id === nic);
  if (definition === undefined || card === undefined) return undefined;
  const { passt, ...host } = await facts();
  return passt === null ? undefined : planHelper(definition, { ...card, socket }, { ...host, passt });
}
