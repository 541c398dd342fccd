/** The networks of one running machine, and how a manager serves them: at a start, and for what runs already. */
import type { AuditReport } from '../../audit/report.ts';
import type { SettledDefinition } from '../../plan/default-cards.ts';
import { streamCards } from '../../plan/nics.ts';
import { helperName, planHelper, userNicsOf } from '../../plan/user-network.ts';
import type { NetworkHelper, UserNetworkFacts } from '../../plan/launch-plan.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { NetSocketName } from '../../protocol/launch.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { NetworkServer, type ServerServices } from './network-server.ts';
import { UserNetwork, type NetworkServices, type NetworkState } from './user-network.ts';

/** A card in a managed network. */
interface ServedCard {
  readonly nic: string;
  readonly server: NetworkServer;
  /** Null: not known yet. */
  readonly address: () => string | null;
}

export interface NetworksServices extends NetworkServices, ServerServices {
  readonly facts: () => Promise<UserNetworkFacts>;
  /** The definition of now; undefined: the machine is not defined. */
  readonly definitionOf: (machine: string) => SettledDefinition | undefined;
  /** A helper as the broker last told of it. */
  readonly launched: (helper: string) => LaunchedMachine | undefined;
}

export interface Networks {
  /** Before the guest runs: every card whose helper is planned is served, and every wall of it was seen. */
  readonly begin: (run: Run, helpers: readonly NetworkHelper[]) => Promise<Outcome<void>>;
  /** One more card in a managed network of a machine that runs: its server knows it. */
  readonly join: (
    run: Run,
    card: { readonly nic: string; readonly network: string },
  ) => Promise<Outcome<void>>;
  /** For a machine that an earlier manager started. */
  readonly adopt: (run: Run) => Promise<void>;
}

/** For runs that have no network. */
export const noNetworks: Networks = {
  begin: () => Promise.resolve(success(undefined)),
  join: () => Promise.resolve(success(undefined)),
  adopt: () => Promise.resolve(),
};

export class UserNetworks {
  readonly #cards: readonly UserNetwork[];
  #served: readonly ServedCard[];

  constructor(cards: readonly UserNetwork[], served: readonly ServedCard[]) {
    this.#cards = cards;
    this.#served = served;
  }

  get states(): readonly NetworkState[] {
    return [
      ...this.#cards.map((card) => card.state),
      ...this.#served.map(({ nic, address, server: { up, fault } }) => ({
        nic,
        up,
        fault,
        forward: [],
        address: address(),
      })),
    ];
  }

  serve(card: ServedCard): void {
    this.#served = [...this.#served, card];
  }

  leave(nic: string): void {
    this.#served = this.#served.filter((one) => one.nic !== nic);
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
    for (const one of [...this.#cards, ...new Set(this.#served.map(({ server }) => server))]) {
      const report = await one.audit();
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
  const servers = new Map<string, NetworkServer>();
  const serverOf = (network: string): NetworkServer => {
    const server = servers.get(network) ?? new NetworkServer(services, network);
    servers.set(network, server);
    return server;
  };
  const servedOf = (run: Run): readonly ServedCard[] =>
    run.now.launch.descriptors.flatMap((one) =>
      one.kind === 'card' ? [servedCard(run.launched.machine, one.nic, serverOf(one.network))] : [],
    );
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
      const served = servedOf(run);
      run.networks = new UserNetworks(cards, served);
      for (const card of cards) {
        const begun = await card.begin();
        if (!begun.ok) return begun;
      }
      for (const server of new Set(served.map((one) => one.server))) {
        const begun = await server.serve(run);
        if (!begun.ok) return begun;
      }
      return success(undefined);
    },
    join: async (run, { nic, network }) => {
      const server = serverOf(network);
      const begun = await server.serve(run);
      if (begun.ok) run.networks?.serve(servedCard(run.launched.machine, nic, server));
      return begun;
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
      const served = servedOf(run);
      run.networks = new UserNetworks(cards, served);
      // What is wrong with a server is cured while the run goes on.
      for (const server of new Set(served.map((one) => one.server))) await server.serve(run);
    },
  };
}

const servedCard = (machine: string, nic: string, server: NetworkServer): ServedCard => ({
  nic,
  server,
  address: () => server.addressOf(machine, nic),
});

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
