/**
 * qward-broker: the only program of qward that runs as root. Started on demand by its socket, ends when idle, keeps
 * nothing in memory that it needs. See docs/architecture.md.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { findCgroupMounts } from '../jail/cgroups.ts';
import { accountNamed, groupIdOf } from '../linux/accounts.ts';
import { namedListenFds } from '../linux/listen-fds.ts';
import { readOwnFile } from '../linux/own-file.ts';
import { writeStderr } from '../linux/stderr.ts';
import { maxPolicyBytes, readPolicy } from '../policy/read-policy.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { pathsBelow, systemRoots, type Paths } from '../protocol/paths.ts';
import { version } from '../protocol/version.ts';
import { openAutostart } from './autostart.ts';
import { openClaims } from './claims.ts';
import type { BrokerContext } from './context.ts';
import { openBrokerLog, type BrokerLog } from './log.ts';
import { openNetworks } from './networks.ts';
import { openRecords } from './records.ts';
import { chooseRuntime, type ChosenRuntime } from './runtime-choice.ts';
import { rootMeans } from './root-means.ts';
import { createBrokerServer } from './server.ts';
import { claimsService, managerService } from './services.ts';
import { openSlots } from './slots.ts';
import { releaseNetworks, sweep } from './sweep.ts';

const usage = `usage: qward-broker [--session] [--idle SECONDS] [--manager-user NAME | --manager-uid UID --manager-gid GID]
                    [--config-dir DIR] [--run-dir DIR] [--state-dir DIR] [--cgroup-parent PATH]
                    [--cgroup-manager cgroupfs|systemd]

The root part of qward. It takes its sockets from the service manager or from \`qward host up\` (LISTEN_FDS): by their
names in LISTEN_FDNAMES, broker and claims, or in this order.
--idle 0 never ends. --session: of an ordinary user, for whom the manager of the session starts it.`;

type Options = ReturnType<typeof options>;

function options() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      session: { type: 'boolean', default: false },
      idle: { type: 'string', default: '30' },
      'manager-user': { type: 'string', default: 'qward' },
      'manager-uid': { type: 'string' },
      'manager-gid': { type: 'string' },
      'config-dir': { type: 'string', default: systemRoots.config },
      'run-dir': { type: 'string', default: systemRoots.run },
      'state-dir': { type: 'string', default: systemRoots.state },
      'cgroup-parent': { type: 'string', default: '/qward' },
      'cgroup-manager': { type: 'string', default: 'cgroupfs' },
    },
  });
  return values;
}

/** uid and gid of the manager: an account's, or numbers. */
function managerIds(values: Options): { managerUid: number; managerGid: number } {
  const uid = values['manager-uid'];
  if (uid !== undefined) return { managerUid: Number(uid), managerGid: Number(values['manager-gid'] ?? uid) };
  const name = values['manager-user'];
  const account = accountNamed(name);
  if (account === undefined)
    throw new Error(
      `there is no user "${name}"; make it with \`useradd --system ${name}\`, or name another with --manager-user`,
    );
  return { managerUid: account.uid, managerGid: groupIdOf(name) ?? account.gid };
}

/** root's own directories; the parents were made by whoever made the socket. */
function makeDirectories(paths: Paths, managerGid: number): void {
  mkdirSync(paths.machines, { recursive: true, mode: 0o700 });
  chownSync(paths.machines, 0, managerGid);
  chmodSync(paths.machines, 0o750);
  for (const directory of ['', '/machines', '/bundles', '/oci'])
    mkdirSync(`${paths.brokerRun}${directory}`, { recursive: true, mode: 0o700 });
  mkdirSync(paths.brokerState, { recursive: true, mode: 0o700 });
}

/** What the two instances have of their own. */
export type Site = Pick<
  BrokerContext,
  'managerUid' | 'managerGid' | 'readPolicy' | 'means' | 'scopeBase' | 'logDirectory' | 'whenAlone'
>;

function rootSite(
  values: Options,
  { paths, context }: { readonly paths: Paths; readonly context: () => BrokerContext },
): Site {
  const ids = managerIds(values);
  makeDirectories(paths, ids.managerGid);
  return {
    ...ids,
    readPolicy: () => readPolicy(paths.policy, readOwnFile(paths.policy, maxPolicyBytes), paths.own),
    means: rootMeans(context, paths),
    scopeBase: '',
    logDirectory: null,
  };
}

async function createContext(values: Options): Promise<BrokerContext> {
  const paths = pathsBelow({
    config: values['config-dir'],
    run: values['run-dir'],
    state: values['state-dir'],
  });
  const around = { paths, context: (): BrokerContext => context };
  const site = values.session
    ? (await import('./session/user-site.ts')).userSite(around)
    : rootSite(values, around);
  const cgroups = findCgroupMounts();
  const cgroupParent = values['cgroup-parent'];
  let runtime: Promise<ChosenRuntime> | undefined;
  const context: BrokerContext = {
    ...site,
    paths,
    cgroupParent,
    // With v1 the weights of runtime and systemd differ.
    scopes: values['cgroup-manager'] === 'systemd' && cgroups.layout === 'v2',
    cgroups,
    // A choice that failed is tried again with the next request.
    runtime: () =>
      (runtime ??= chooseRuntime(context).catch((error: unknown) => {
        runtime = undefined;
        throw error;
      })),
    slots: openSlots(`${paths.brokerState}/slots.json`),
    records: openRecords(`${paths.brokerRun}/machines`),
    claims: openClaims(`${paths.brokerState}/claims.json`, () => new Date()),
    autostart: openAutostart(`${paths.brokerState}/autostart.json`, () => new Date()),
    networks: openNetworks(`${paths.brokerState}/networks.json`),
    busy: new Set(),
  };
  return context;
}

/** What a broker that was killed in the middle of a launch left. Running machines are not touched. */
async function recover(context: BrokerContext): Promise<void> {
  const records = new Map(context.records.list().map((record) => [record.machine, record]));
  const left = new Set(readdirSync(context.paths.machines).filter((name) => machineNamePattern.test(name)));
  for (const record of records.values()) if (record.phase === 'launching') left.add(record.machine);
  for (const machine of left) {
    if (records.get(machine)?.phase === 'running') continue;
    // No launch begins without a record: what runs here was begun whole, and its record was lost since.
    if (!records.has(machine) && context.means.runs(machine)) continue;
    // SECURITY: promise 7. A machine whose remains resist keeps no other from being stopped: its next launch tries again.
    await sweep(context, machine).catch((error: unknown) => {
      writeStderr(`qward-broker: ${machine}: ${error instanceof Error ? error.message : 'not swept'}\n`);
    });
  }
  await releaseNetworks(context, context.means.networksUp());
  rmSync(`${context.paths.brokerRun}/bundles/Trial`, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const values = options();
  if (values.help || values.version) {
    process.stdout.write(`${values.help ? usage : version}\n`);
    return;
  }
  const isRoot = process.getuid?.() === 0;
  if (values.session && isRoot)
    throw new Error("a session is an ordinary user's: root has the system instance");
  if (!values.session && !isRoot)
    throw new Error('must be started as root, by systemd or by `qward host up`; as a user, with --session');
  process.title = 'qward-broker';
  process.umask(0o022);
  const sockets = namedListenFds(process.env, process.pid, ['broker', 'claims']);
  if (sockets.size === 0)
    throw new Error('no socket was handed over (LISTEN_FDS); start it by systemd or by `qward host up`');
  const context = await createContext(values);
  await recover(context);
  listen(context, sockets, { idleMs: Number(values.idle) * 1000 });
}

/** Tells the broker's own program from one that replaced it; undefined: it is gone, and nothing would come after us. */
function programStamp(): string | undefined {
  const stats = statSync(process.argv[1] ?? '', { throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.ino} ${stats.mtimeMs}`;
}

interface Until {
  /** 0: for ever. */
  idleMs: number;
}

function listen(context: BrokerContext, sockets: ReadonlyMap<string, number>, until: Until): void {
  let active = 0;
  let idle: NodeJS.Timeout | undefined;
  const leave = (): void => {
    context.means.close();
    process.exit(0);
  };
  const program = programStamp();
  const rearm = (): void => {
    clearTimeout(idle);
    // The next request is answered by the program that an upgrade put in place of this one.
    const restMs = program === (programStamp() ?? program) ? until.idleMs : 1;
    if (active === 0 && until.idleMs > 0) idle = setTimeout(leave, restMs);
  };
  const onActivity = (change: 1 | -1): void => {
    active += change;
    rearm();
  };
  const logTo = (name: string): BrokerLog =>
    openBrokerLog(`${context.paths.brokerState}/${name}`, () => new Date());
  const services = {
    broker: managerService({ context, onActivity, log: logTo('broker.log') }),
    // SECURITY: promise 7. A log of their own: users who claim without end push none of the manager's lines out.
    claims: claimsService({ context, onActivity, log: logTo('claims.log') }),
  };
  const servers = (['broker', 'claims'] as const).flatMap((name) => {
    const fd = sockets.get(name);
    return fd === undefined ? [] : [createBrokerServer(services[name]).listen({ fd })];
  });
  // A request under way is finished first: its reply is what the manager waits for.
  process.once('SIGTERM', () => {
    for (const server of servers) server.close();
    until.idleMs = 1;
    rearm();
  });
  context.whenAlone?.(() => {
    until.idleMs ||= 1;
    rearm();
  });
  rearm();
}

main().catch((error: unknown) => {
  writeStderr(`qward-broker: ${error instanceof Error ? error.message : 'failed'}\n`);
  process.exitCode = 1;
});
