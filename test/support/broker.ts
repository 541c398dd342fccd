/** A broker of a test's own: real root, real runtime, private directories and cgroups, removed whatever happens. */
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { startDaemon, type Daemon } from '../../src/host/daemons.ts';
import { locateSite, type HostSite } from '../../src/host/site.ts';
import { bindSockets, makeHostDirectories } from '../../src/host/up.ts';
import { findCgroupMounts, killCgroup, processesIn, removeCgroup } from '../../src/jail/cgroups.ts';
import { unmount } from '../../src/linux/mount.ts';
import { isAlive } from '../../src/linux/process.ts';
import type { BrokerReply, BrokerRequest } from '../../src/protocol/broker.ts';
import { encodeFrame, FrameReader, maxReplyBytes } from '../../src/protocol/frame.ts';
import { patienceMs } from './patience.ts';

/** A uid without an account, for the manager of a test. */
export const testManagerUid = 1_879_200_000;

/** The machines' uids of this process's brokers: a broker sweeps its range, and test files run side by side. */
export const testUidRange = { base: 0x7180_0000 + 64 * randomInt(100_000), count: 64 };

export interface TestBroker extends AsyncDisposable {
  readonly site: HostSite;
  readonly images: string;
  readonly pid: number;
  readonly ask: <Result = unknown>(request: BrokerRequest) => Promise<BrokerReply<Result>>;
  /** SIGKILL; `restart` brings another up on a new socket. */
  readonly kill: () => Promise<void>;
  /** SIGTERM: it finishes what it does, and writes what it only counted. */
  readonly stop: () => Promise<void>;
  readonly restart: () => void;
}

/** Directories, policy and cgroup parent of an instance that meets no other. */
export function makeTestSite(policy: object = {}): HostSite {
  const id = randomBytes(4).toString('hex');
  const base = `/run/qward-test-${id}`;
  const roots = { config: `${base}/etc`, run: `${base}/run`, state: `${base}/lib` };
  const outcome = locateSite({
    roots,
    managerUser: '',
    managerUid: testManagerUid,
    cgroupParent: `/qward-test-${id}`,
  });
  if (!outcome.ok) throw new Error(outcome.message);
  mkdirSync(base, { mode: 0o755 });
  makeHostDirectories(outcome.site);
  const storageRoots = [{ path: outcome.site.paths.images, access: 'rw' }];
  const defaults = { uidRange: testUidRange, storageRoots };
  writeFileSync(outcome.site.paths.policy, JSON.stringify({ ...defaults, ...policy }), { mode: 0o644 });
  return outcome.site;
}

/** Ends and removes all of an instance: processes by their cgroups, mounts, directories. */
export async function removeTestSite(site: HostSite): Promise<void> {
  const cgroups = findCgroupMounts();
  const deadline = performance.now() + patienceMs;
  do {
    killCgroup(cgroups, site.cgroupParent);
    if (processesIn(cgroups, site.cgroupParent).length === 0 && removeCgroup(cgroups, site.cgroupParent))
      break;
    await delay(5);
  } while (performance.now() < deadline);
  const machines = existsSync(site.paths.machines) ? readdirSync(site.paths.machines) : [];
  for (const machine of machines) while (unmount(`${site.paths.machines}/${machine}`));
  while (unmount(`${site.paths.brokerRun}/roots`));
  rmSync(site.roots.run.replace(/\/run$/, ''), { recursive: true, force: true });
}

export async function startTestBroker(policy: object = {}): Promise<TestBroker> {
  const site = makeTestSite(policy);
  const start = (): Daemon => startDaemon('broker', site, bindSockets('broker', site));
  let daemon = start();
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (isAlive(daemon.pid, daemon.startTime)) process.kill(daemon.pid, signal);
    while (isAlive(daemon.pid, daemon.startTime)) await delay(2);
  };
  const broker: TestBroker = {
    site,
    images: site.paths.images,
    get pid() {
      return daemon.pid;
    },
    ask: (request) => askBroker(site.paths.brokerSocket, request),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    restart: () => {
      daemon = start();
    },
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL');
      await removeTestSite(site);
    },
  };
  try {
    await broker.ask({ v: 1, call: 'status' });
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
  return broker;
}

/** One request, waiting for the broker to listen; rejects where it closes without an answer. */
export async function askBroker<Result>(path: string, request: unknown): Promise<BrokerReply<Result>> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const reply = await exchange(path, encodeFrame(request));
    if (reply !== 'refused') {
      if (reply === undefined) throw new Error('the broker closed the connection without an answer');
      return JSON.parse(reply.toString('utf8')) as BrokerReply<Result>;
    }
    if (performance.now() > deadline) throw new Error(`nobody listens on ${path}`);
    await delay(10);
  }
}

/** Sends bytes and gives the reply's body; undefined where the connection was ended, 'refused' where nobody listens. */
export function exchange(path: string, bytes: Uint8Array): Promise<Buffer | undefined | 'refused'> {
  return exchangeOn(connect(path), bytes);
}

/** The same on a connection that was begun before. */
export function exchangeOn(socket: Socket, bytes: Uint8Array): Promise<Buffer | undefined | 'refused'> {
  return new Promise((resolve) => {
    const reader = new FrameReader(maxReplyBytes);
    socket.on('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'refused' : undefined),
    );
    socket.on('data', (piece: Buffer) => {
      const body = reader.push(piece);
      if (body !== undefined) {
        resolve(Buffer.from(body));
        socket.destroy();
      }
    });
    socket.on('close', () => resolve(undefined));
    socket.write(bytes);
  });
}

/** Lines of the broker's own log. */
export function brokerLog(site: HostSite): string {
  return readFileSync(`${site.paths.brokerState}/broker.log`, 'utf8');
}

/** What a broker keeps of machines: directories, records, bundles, cgroups. Empty when nothing is left. */
export function traces(site: Pick<HostSite, 'paths' | 'cgroupParent'>): string[] {
  const below = (path: string): string[] =>
    existsSync(path) ? readdirSync(path).map((name) => `${path}/${name}`) : [];
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${site.paths.machines}/`));
  const cgroups = findCgroupMounts().mounts.flatMap(({ path }) =>
    existsSync(`${path}${site.cgroupParent}`)
      ? readdirSync(`${path}${site.cgroupParent}`, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => `${path}${site.cgroupParent}/${entry.name}`)
      : [],
  );
  const { brokerRun, machines } = site.paths;
  return [
    ...below(machines),
    ...below(`${brokerRun}/machines`),
    ...below(`${brokerRun}/bundles`),
    ...below(`${brokerRun}/oci`),
    ...mounts,
    ...cgroups,
  ];
}
