/** The manager put together: everything that main.ts starts and ends. */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { settleCards } from '../plan/default-cards.ts';
import { endedStates } from '../api/endpoints.ts';
import { parseDefinition } from '../definition/parse.ts';
import type { QemuFacts } from '../plan/launch-plan.ts';
import type { BrokerStatus } from '../protocol/broker.ts';
import type { HostFacts } from '../plan/launch-plan.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import type { Paths } from '../protocol/paths.ts';
import { Adopter } from './adopt.ts';
import { auditRun } from './audit-run.ts';
import { Boot, startsAtOnce } from './autostart/boot.ts';
import { viewRegister } from './autostart/register-view.ts';
import type { BrokerPort } from './broker-port.ts';
import { Definitions, type DefinitionServices } from './definitions/definitions.ts';
import { DiskJobs } from './disks/disk-jobs.ts';
import { defaultStepLimits } from './disks/run-step.ts';
import { sweepJobs } from './disks/sweep-jobs.ts';
import { EventHistory } from './events.ts';
import { gatherForSession, gatherHost } from './facts/host.ts';
import { HostPhase } from './host-phase.ts';
import { imageTool, ToolSource } from './facts/tool.ts';
import { KvmVerdictStore } from './facts/kvm-verdict-store.ts';
import { createAutostartHandlers } from './handlers/autostart-handlers.ts';
import { createGrantHandlers } from './handlers/grant-handlers.ts';
import { createHistoryHandlers } from './handlers/history-handlers.ts';
import { createDrill } from './drill/drill-machine.ts';
import { createDrillHandlers } from './handlers/drill-handlers.ts';
import { createMigrationHandlers } from './handlers/migration-handlers.ts';
import { createSnapshotHandlers } from './handlers/snapshot-handlers.ts';
import { SnapshotStore } from './snapshots/snapshot-store.ts';
import { createShutdownHandlers } from './handlers/shutdown-handlers.ts';
import { createDefinitionHandlers } from './handlers/definition-handlers.ts';
import { createDiskHandlers } from './handlers/disk-handlers.ts';
import { createHostHandlers } from './handlers/host-handlers.ts';
import { createPolicyHandlers } from './handlers/policy-handlers.ts';
import { createGuestHandlers } from './handlers/guest-handlers.ts';
import { createBlockHandlers } from './handlers/block-handlers.ts';
import { BackupRegister } from './blocks/backup-register.ts';
import { PullNotes, settlePull } from './blocks/pull-notes.ts';
import { settleBlocks } from './blocks/settle-blocks.ts';
import { UsbWatch, usbEveryMs } from './hotplug/watch-usb.ts';
import { createHotplugHandlers } from './handlers/hotplug-handlers.ts';
import { createMetrics, createStatsHandlers } from './handlers/stats-handlers.ts';
import { createMediaHandlers } from './handlers/media-handlers.ts';
import { createNetworkHandlers } from './handlers/network-handlers.ts';
import { createMachineHandlers } from './handlers/machine-handlers.ts';
import { createStreamHandlers } from './handlers/stream-handlers.ts';
import { History } from './history/history.ts';
import { recordBroker } from './history/recorded-broker.ts';
import { runHook } from './hooks/run-hook.ts';
import { KvmProof } from './kvm-proof.ts';
import { createLog, type Log } from './log.ts';
import { createBeside, noneBeside } from './beside/side-servers.ts';
import { mostOpenFiles, shareServer, sideServerOf, tpmServer } from './facts/side-servers.ts';
import { createNetworkSources, type NetworkSources } from './networks/network-sources.ts';
import { createNetworks, noNetworks, type Networks } from './networks/user-networks.ts';
import { StartGate } from './lifecycle/start-gate.ts';
import type { StartServices } from './lifecycle/start-run.ts';
import { Machines } from './machines.ts';
import type { Outcome } from './outcome.ts';
import type { OwnStorage } from './policy-grounds.ts';
import { sessionPolicy } from '../policy/session-policy.ts';
import { createPolicySource, createSessionPolicySource, type PolicySource } from './policy-source.ts';
import { QemuChoice } from './qemu-choice.ts';
import { createOwnerParts, type OwnerParts } from './owner-parts.ts';
import { createPlanner, withQuota, type Planner, type PlannerSources } from './planner.ts';
import { createServer } from './server/create-server.ts';
import { MoveNotes } from './migration/move-notes.ts';
import { cpuOf } from './migration/what-fits.ts';
import { SavedStates } from './saved/saved-states.ts';
import { Space } from './saved/space.ts';
import { HostShutdown } from './shutdown/host-shutdown.ts';
import { ownKvm } from './session/own-kvm.ts';
import { createUserNames } from './user-names.ts';
import { StatsReader } from './stats/machine-stats.ts';
import { DefinitionStore, type BrokenFile } from './store/definition-store.ts';
import { RunNotes } from './store/run-notes.ts';
import { ScratchFiles } from './throwaway/scratch-files.ts';
import { Throwaways } from './throwaway/throwaways.ts';

export interface ManagerOptions {
  readonly paths: Paths;
  readonly broker: BrokerPort;
  readonly now: () => Date;
  readonly writeLog: (line: string) => void;
  /** The manager's own uid. */
  readonly uid: number;
  /** Of an ordinary user's own machines, not of the host's. */
  readonly session?: boolean;
  /** Hold each answer against the contract. */
  readonly checkResults: boolean;
  /** What stands in for parts of the host in tests. */
  readonly sources?: Pick<PlannerSources, 'host' | 'qemu' | 'kvm'> & Pick<StartServices, 'audit'>;
}

export interface Manager extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly machines: Machines;
  readonly events: EventHistory;
  readonly phase: HostPhase;
  /** Whether nothing runs, starts or waits, and no job is under way. */
  readonly atRest: () => boolean;
  /** Resolves when each machine that ran already has answered or been given up. */
  readonly adopted: Promise<void>;
  /** Asks the broker anew what runs and what there is: QEMU binaries, roots. The policy is read for each call anyway. */
  readonly reload: () => Promise<void>;
}

const eventsKept = 1000;
const probeEveryMs = 10_000;
/** A machine whose monitor has not answered by then is one that runs. */
const adoptedWithinMs = 20_000;

/** Reads the definitions, and learns what runs. The API may listen when this returns. */
export async function createManager(options: ManagerOptions): Promise<Manager> {
  const { paths, now, uid } = options;
  const { session = false } = options;
  const policy = session
    ? createSessionPolicySource(sessionPolicy(uid, paths.images, process.env['XDG_RUNTIME_DIR']))
    : createPolicySource(paths.policy, paths.own);
  const storage = { path: paths.vars, ownedBy: uid };
  const log = createLog(options.writeLog, now);
  const history = new History({
    path: `${paths.managerState}/history.db`,
    now,
    onFault: (error) => {
      log.error('the history cannot be written', { error });
    },
  });
  const { broker, get: autostartOf } = viewRegister(recordBroker(options.broker, history), (name) => {
    machines.changed(name);
  });
  const events = new EventHistory(eventsKept, now);
  const store = new DefinitionStore(paths.managerState, parseDefinition);
  const notes = new RunNotes(paths.managerState);
  const states = new SavedStates(paths.managerState, (name) => {
    machines.changed(name);
  });
  const moves = new MoveNotes(paths.managerState, (name) => {
    machines.changed(name);
  });
  const onLost = (): void => {
    adopter.lookAgain();
  };
  const scratch = new ScratchFiles();
  const owners = createOwnerParts({ paths, broker, policy, scratch, machines: () => machines.all() });
  const running = (): readonly LaunchRequest[] =>
    machines.all().flatMap(({ run }) => run?.launched.launch ?? []);
  const host = createHostParts({ ...options, broker }, owners, { log, onLost, policy, scratch, running });
  const phase = new HostPhase();
  const userName = createUserNames(now);
  const hookRuns = new Set<string>();
  const helpers = new Set<string>();
  let launched: BrokerStatus['machines'] = [];
  const networks = createNetworks({
    broker,
    now,
    helpers,
    ...host,
    facts: host.userNetwork,
    launched: (name) => launched.find(({ machine }) => machine === name),
    definitionOf: (name) => {
      const record = machines.get(name)?.record;
      const current = policy.current();
      return record
        ? settleCards(record.definition, current.ok ? current.value.defaultBridge : null)
        : undefined;
    },
    note: (name, text) => machines.get(name)?.life.note(text),
  });
  const beside = createBeside({
    broker,
    now,
    helpers,
    launched: (name) => launched.find(({ machine }) => machine === name),
    note: (name, text) => machines.get(name)?.life.note(text),
  });
  const space = new Space(paths.managerState);
  const machines = new Machines({
    phase,
    broker,
    events,
    log,
    notes,
    now,
    planner: host.planner,
    audit: host.audit,
    onLost,
    gate: new StartGate(),
    networks,
    beside,
    runHook: (call) => runHook({ broker, policy: policy.current, now, running: hookRuns }, call),
    managerState: paths.managerState,
    states,
    moves,
    varsDirectory: paths.vars,
    cpu: () => cpuOf(readFileSync('/proc/cpuinfo', 'utf8')),
    space,
    userName,
    startsWithHost: (name) => autostartOf(name) !== undefined,
    settleBlocks: async (name) => {
      const machine = machines.get(name);
      if (machine !== undefined) await settleBlocks({ definitions, broker }, machine);
    },
    settlePull: async (name) => {
      const machine = machines.get(name);
      if (machine !== undefined) await settlePull({ pulls, definitions, planner: host.planner }, machine);
    },
    policy,
    storage,
    owner: owners.owner,
  });
  const broken = await readState({ paths, store, notes, states, moves, machines, log, session });
  const own = { store, machines, broker, events, notes, moves, paths, now, uid };
  const services = { ...owners, policy, storage, ...own };
  const definitions = new Definitions(services);
  const pulls = new PullNotes(paths.managerState);
  const throwaways = new Throwaways({ ...services, log, scratch, states, unbounded: host.unbounded });
  const jobs = new DiskJobs(broker);
  const ending = new AbortController();
  const adopt = async (): Promise<void> => {
    const { connected } = await adopter.adopt();
    await Promise.race([connected, wait(adoptedWithinMs, undefined, { ref: false })]);
  };
  const boot = new Boot({
    ...services,
    phase,
    log,
    ending: ending.signal,
    atOnce: startsAtOnce,
    adopt,
  });
  const shutdown = new HostShutdown({ ...services, phase, log, adopt });
  const usb = new UsbWatch({
    ...services,
    networks,
    planner: host.planner,
    audit: host.audit,
    holderOf: (...of) => machines.holderOf(...of),
  });
  const app = createApi({
    ...services,
    definitions,
    networks,
    states,
    space,
    boot,
    shutdown,
    userName,
    jobs,
    log,
    host,
    history,
    throwaways,
    brokenFiles: broken,
    checkResults: options.checkResults,
    session,
  });
  const onStatus = (status: BrokerStatus): void => {
    host.onStatus(status);
    launched = status.machines;
    const running = (job: string): boolean => jobs.has(job) || hookRuns.has(job) || helpers.has(job);
    void sweepJobs({ broker, running }, status);
  };
  const adopter = new Adopter({ machines, broker, log, onStatus, signal: ending.signal });
  const { connected } = await adopter.adopt();
  await throwaways.sweep();
  for (const machine of machines.all())
    await settlePull({ pulls, definitions, planner: host.planner }, machine);
  void connected.then(() => Promise.all(machines.all().map(({ life }) => life.resume())));
  const timer = setInterval(() => {
    for (const { life } of machines.all()) if (life.run !== undefined) void life.probe();
    void machines.lookForAddresses();
  }, probeEveryMs);
  const usbTimer = setInterval(() => void usb.look(machines.all()), usbEveryMs);
  return {
    app,
    machines,
    events,
    phase,
    atRest: () =>
      !boot.underWay &&
      !throwaways.any &&
      !jobs.any &&
      hookRuns.size === 0 &&
      machines
        .all()
        .every(
          ({ state, busy, life }) =>
            endedStates.includes(state) && !busy && life.after.restarts.pending === null,
        ),
    adopted: connected,
    reload: async () => {
      await adopter.adopt();
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort(new Error('the manager ends'));
      jobs.end();
      clearInterval(timer);
      clearInterval(usbTimer);
      await throwaways[Symbol.asyncDispose]();
      await Promise.all(machines.all().map(({ life }) => life.release()));
      await app.close();
      await history[Symbol.asyncDispose]();
    },
  };
}

interface State {
  readonly paths: Paths;
  readonly session: boolean;
  readonly store: DefinitionStore;
  readonly notes: RunNotes;
  readonly states: SavedStates;
  readonly moves: MoveNotes;
  readonly machines: Machines;
  readonly log: Log;
}

/** Every machine that is defined, as an earlier manager left it. */
async function readState({
  paths,
  store,
  notes,
  states,
  moves,
  machines,
  log,
  session,
}: State): Promise<readonly BrokenFile[]> {
  const images = session ? [paths.images] : [];
  for (const directory of [paths.managerState, paths.managerRun, paths.vars, ...images])
    await mkdir(directory, { recursive: true, mode: 0o700 });
  const { records, broken } = await store.load();
  broken.push(...(await states.load()), ...(await moves.load()));
  for (const { path, reason } of broken) log.warn('a state file is not used', { path, reason });
  for (const record of records) {
    const note = await notes.read(record.name);
    const machine = machines.add(record.name, record);
    if (note !== undefined) machine.life.recall(note);
    if (states.get(record.name) !== undefined) machine.life.rest();
  }
  await moves.forgetAllBut((name) => machines.get(name) !== undefined || store.isBroken(name));
  for (const { path, reason } of notes.newer.values()) log.warn('a state file is not used', { path, reason });
  return broken;
}

interface HostParts extends NetworkSources {
  readonly planner: Planner;
  /** Without a look at quotas. */
  readonly unbounded: Planner;
  readonly host: PlannerSources['host'];
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: PlannerSources['kvm'];
  readonly swtpm: PlannerSources['swtpm'];
  readonly virtiofsd: PlannerSources['virtiofsd'];
  readonly audit: StartServices['audit'];
  /** What the broker said of the policy. */
  readonly onStatus: (status: BrokerStatus) => void;
}

function createHostParts(
  { paths, broker, now, sources, session = false }: ManagerOptions,
  { owner, quotas }: OwnerParts,
  {
    log,
    onLost,
    policy,
    scratch,
    running,
  }: {
    readonly log: Log;
    readonly onLost: () => void;
    readonly policy: PolicySource;
    readonly scratch: ScratchFiles;
    readonly running: PlannerSources['running'];
  },
): HostParts {
  const choice = new QemuChoice({
    directory: paths.managerRun,
    policy: paths.policy,
    listed: async () => {
      const status = await broker.call('status', {});
      return status.ok ? status.value.qemuBinaries : undefined;
    },
  });
  const host = sources?.host ?? (session ? gatherForSession : gatherHost);
  const qemu = sources?.qemu ?? (() => choice.read());
  const audit = sources?.audit ?? auditRun;
  const proof = new KvmProof({
    broker,
    now,
    log,
    qemu,
    managerState: paths.managerState,
    store: new KvmVerdictStore(`${paths.managerRun}/kvm.json`),
    imagePath: `${paths.vars}/kvm-probe.img`,
    findLockHolder: () => Promise.resolve(undefined),
    keepLog: () => Promise.resolve(),
    onLost,
    gate: new StartGate(),
    networks: noNetworks,
    beside: noneBeside,
    audit,
  });
  const prove = (): ReturnType<PlannerSources['kvm']> => proof.verdict();
  const kvm = sources?.kvm ?? (session ? ownKvm(prove) : prove);
  const networks = createNetworkSources(broker, policy.current);
  const swtpm = sideServerOf(policy, tpmServer);
  const shareTool = sideServerOf(policy, shareServer);
  const virtiofsd = async (): Promise<HostFacts['virtiofsd']> => {
    const tool = await shareTool();
    return tool === null ? null : { ...tool, openFiles: mostOpenFiles() };
  };
  const unbounded = createPlanner({
    broker,
    host,
    qemu,
    kvm,
    swtpm,
    virtiofsd,
    ...networks,
    varsDirectory: paths.vars,
    ownState: paths.own,
    scratch,
    running,
    ownership: owner,
    policy: policy.current,
    now,
  });
  const planner = withQuota(unbounded, quotas);
  const onStatus = (status: BrokerStatus): void => {
    choice.update(status.qemuBinaries);
  };
  return { planner, unbounded, host, qemu, kvm, swtpm, virtiofsd, ...networks, audit, onStatus };
}

interface ApiParts extends DefinitionServices, OwnerParts {
  readonly definitions: Definitions;
  readonly boot: Boot;
  readonly shutdown: HostShutdown;
  readonly userName: (uid: number) => string;
  readonly policy: PolicySource;
  readonly storage: OwnStorage;
  readonly log: Log;
  readonly host: HostParts;
  readonly history: History;
  readonly states: SavedStates;
  readonly space: Space;
  readonly jobs: DiskJobs;
  readonly throwaways: Throwaways;
  readonly networks: Networks;
  readonly brokenFiles: readonly BrokenFile[];
  readonly checkResults: boolean;
  readonly session: boolean;
}

function createApi(parts: ApiParts): FastifyInstance {
  const { machines, broker, paths, now, log, host, brokenFiles, events, history, definitions } = parts;
  const images = new ToolSource(parts.policy.current, imageTool);
  const snapshots = new SnapshotStore(paths.managerState);
  const stats = { machines, stats: new StatsReader({ broker, now }) };
  return createServer({
    machines,
    log,
    checkResults: parts.checkResults,
    events,
    history,
    policy: () => parts.policy.roles(),
    placed: parts.policy.placed,
    metrics: createMetrics(stats),
    streams: createStreamHandlers({ ...parts, placed: parts.policy.placed }),
    handlers: {
      ...createGuestHandlers(machines, now),
      ...createMachineHandlers({
        machines,
        managerState: paths.managerState,
        uidOf: async (name) => {
          const status = await broker.call('status', {});
          return status.ok ? status.value.slots.find(({ machine }) => machine === name)?.uid : undefined;
        },
        placed: parts.policy.placed,
        quotas: parts.quotas,
      }),
      ...createMediaHandlers({ broker, planner: host.planner, audit: host.audit, now }),
      ...createStatsHandlers(stats),
      ...createHotplugHandlers({
        ...parts,
        planner: host.planner,
        audit: host.audit,
        holderOf: (...of) => machines.holderOf(...of),
        definitions,
      }),
      ...createBlockHandlers({
        ...parts,
        planner: host.planner,
        audit: host.audit,
        holderOf: (...of) => machines.holderOf(...of),
        backups: new BackupRegister(paths.managerState),
        pulls: new PullNotes(paths.managerState),
        snapshots,
      }),
      ...createDefinitionHandlers(definitions, {
        ...parts,
        locks: definitions.locks,
        host: host.host,
      }),
      ...createAutostartHandlers(parts),
      ...createNetworkHandlers(parts),
      ...createMigrationHandlers(),
      ...createSnapshotHandlers({
        broker,
        now,
        events,
        quotas: parts.quotas,
        planner: host.planner,
        states: parts.states,
        space: parts.space,
        snapshots,
        varsDirectory: paths.vars,
        tool: () => images.read(),
      }),
      ...createShutdownHandlers(parts),
      ...createDrillHandlers(createDrill({ ...parts, planner: host.planner })),
      ...createHostHandlers({
        ...host,
        instance: parts.session ? 'session' : 'system',
        machines,
        quotas: parts.quotas,
        policy: parts.policy,
        broker,
        now,
        history,
        brokenFiles: () => [...brokenFiles, ...parts.notes.newer.values()],
        owner: parts.owner,
      }),
      ...createDiskHandlers({
        broker,
        machines,
        now,
        jobs: parts.jobs,
        limits: defaultStepLimits,
        ownState: paths.own,
        policy: parts.policy.current,
        tool: images,
      }),
      ...createGrantHandlers({ ...parts, locks: definitions.locks, owners: definitions.owners }),
      ...createHistoryHandlers({ history, broker, now }),
      ...createPolicyHandlers({ ...host, owner: parts.owner, policy: parts.policy, storage: parts.storage }),
    },
  });
}
