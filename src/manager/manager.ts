/** The manager put together: everything that main.ts starts and ends. */
import { mkdir } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { parseDefinition } from '../definition/parse.ts';
import type { QemuFacts } from '../plan/launch-plan.ts';
import type { BrokerStatus } from '../protocol/broker.ts';
import type { Paths } from '../protocol/paths.ts';
import { Adopter } from './adopt.ts';
import { auditRun } from './audit-run.ts';
import type { BrokerPort } from './broker-port.ts';
import { ChangeLog } from './change-log.ts';
import { Definitions, type DefinitionServices } from './definitions/definitions.ts';
import { EventHistory } from './events.ts';
import { gatherHost } from './facts/host.ts';
import { KvmVerdictStore } from './facts/kvm-verdict-store.ts';
import { createDefinitionHandlers } from './handlers/definition-handlers.ts';
import { createHostHandlers } from './handlers/host-handlers.ts';
import { createMachineHandlers } from './handlers/machine-handlers.ts';
import { createStreamHandlers } from './handlers/stream-handlers.ts';
import { KvmProof } from './kvm-proof.ts';
import { createLog, type Log } from './log.ts';
import { StartGate } from './lifecycle/start-gate.ts';
import type { StartServices } from './lifecycle/start-run.ts';
import { Machines } from './machines.ts';
import type { Outcome } from './outcome.ts';
import { QemuChoice } from './qemu-choice.ts';
import { createPlanner, type Planner, type PlannerSources } from './planner.ts';
import { createServer } from './server/create-server.ts';
import { createUserNames } from './user-names.ts';
import { DefinitionStore, type BrokenFile } from './store/definition-store.ts';
import { RunNotes } from './store/run-notes.ts';

export interface ManagerOptions {
  readonly paths: Paths;
  readonly broker: BrokerPort;
  readonly now: () => Date;
  readonly writeLog: (line: string) => void;
  /** The manager's own uid. */
  readonly uid: number;
  /** Hold each answer against the contract. */
  readonly checkResults: boolean;
  /** What stands in for parts of the host in tests. */
  readonly sources?: Pick<PlannerSources, 'host' | 'qemu' | 'kvm'> & Pick<StartServices, 'audit'>;
}

export interface Manager extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly machines: Machines;
  readonly events: EventHistory;
  /** Resolves when each machine that ran already has answered or been given up. */
  readonly adopted: Promise<void>;
}

const eventsKept = 1000;
const probeEveryMs = 10_000;

/** Reads the definitions, and learns what runs. The API may listen when this returns. */
export async function createManager(options: ManagerOptions): Promise<Manager> {
  const { paths, broker, now, uid } = options;
  const log = createLog(options.writeLog, now);
  const events = new EventHistory(eventsKept, now);
  const store = new DefinitionStore(paths.managerState, parseDefinition);
  const notes = new RunNotes(paths.managerState);
  const onLost = (): void => {
    adopter.lookAgain();
  };
  const host = createHostParts(options, log, onLost);
  const machines = new Machines({
    broker,
    events,
    log,
    notes,
    now,
    planner: host.planner,
    audit: host.audit,
    onLost,
    gate: new StartGate(),
    managerState: paths.managerState,
    userName: createUserNames(now),
  });
  const broken = await readState({ paths, store, notes, machines, log });
  const services = { store, machines, broker, events, notes, paths, now, uid };
  const changes = new ChangeLog(`${paths.managerState}/changes.log`, {
    now,
    onFault: (error) => {
      log.error('a change was not logged', { error });
    },
  });
  const app = createApi({
    ...services,
    log,
    host,
    changes,
    brokenFiles: broken,
    checkResults: options.checkResults,
  });
  const ending = new AbortController();
  const adopter = new Adopter({ machines, broker, log, onStatus: host.onStatus, signal: ending.signal });
  const { connected } = await adopter.adopt();
  const timer = setInterval(() => {
    for (const { life } of machines.all()) if (life.run !== undefined) void life.probe();
  }, probeEveryMs);
  return {
    app,
    machines,
    events,
    adopted: connected,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      clearInterval(timer);
      await Promise.all(machines.all().map(({ life }) => life.release()));
      await app.close();
      await changes.flush();
    },
  };
}

interface State {
  readonly paths: Paths;
  readonly store: DefinitionStore;
  readonly notes: RunNotes;
  readonly machines: Machines;
  readonly log: Log;
}

/** Every machine that is defined, as an earlier manager left it. */
async function readState({ paths, store, notes, machines, log }: State): Promise<readonly BrokenFile[]> {
  for (const directory of [paths.managerState, paths.managerRun, paths.vars])
    await mkdir(directory, { recursive: true, mode: 0o700 });
  const { records, broken } = await store.load();
  for (const { path, reason } of broken) log.warn('a state file is not used', { path, reason });
  for (const record of records) {
    const note = await notes.read(record.name);
    const machine = machines.add(record.name, record);
    if (note !== undefined) machine.life.recall(note);
  }
  return broken;
}

interface HostParts {
  readonly planner: Planner;
  readonly host: PlannerSources['host'];
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: PlannerSources['kvm'];
  readonly audit: StartServices['audit'];
  /** What the broker said of the policy. */
  readonly onStatus: (status: BrokerStatus) => void;
}

function createHostParts(
  { paths, broker, now, sources }: ManagerOptions,
  log: Log,
  onLost: () => void,
): HostParts {
  const choice = new QemuChoice({
    directory: paths.managerRun,
    policy: paths.policy,
    listed: async () => {
      const status = await broker.call('status', {});
      return status.ok ? status.value.qemuBinaries : undefined;
    },
  });
  const host = sources?.host ?? gatherHost;
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
    audit,
  });
  const kvm = sources?.kvm ?? (() => proof.verdict());
  const planner = createPlanner({ broker, host, qemu, kvm, varsDirectory: paths.vars });
  const onStatus = (status: BrokerStatus): void => {
    choice.update(status.qemuBinaries);
  };
  return { planner, host, qemu, kvm, audit, onStatus };
}

interface ApiParts extends DefinitionServices {
  readonly log: Log;
  readonly host: HostParts;
  readonly changes: ChangeLog;
  readonly brokenFiles: readonly BrokenFile[];
  readonly checkResults: boolean;
}

function createApi(parts: ApiParts): FastifyInstance {
  const { machines, broker, paths, now, log, host, brokenFiles, events } = parts;
  const definitions = new Definitions(parts);
  return createServer({
    machines,
    log,
    checkResults: parts.checkResults,
    changes: parts.changes,
    streams: createStreamHandlers({ machines, events }),
    handlers: {
      ...createMachineHandlers({ machines, managerState: paths.managerState }),
      ...createDefinitionHandlers(definitions, { ...parts, locks: definitions.locks }),
      ...createHostHandlers({ ...host, machines, broker, now, brokenFiles: () => brokenFiles }),
    },
  });
}
