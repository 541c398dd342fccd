/**
 * A private qward for tests: broker as root, manager as a uid without an account, everything below one directory in /run.
 *   await using instance = await startInstance();
 *   const { status, stdout } = await instance.qward(['list']);
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QwardClient } from '../../src/api/client.ts';
import { pathsBelow, type Paths, type Roots } from '../../src/protocol/paths.ts';
import { exposeCheckout } from './checkout.ts';
import { buildDemoGuest, createDemoDisk, defaultCache, type DemoGuest } from './demo-guest.ts';
import { claimDirectory, instanceParent, sweepInstance, type InstanceMark } from './sweep.ts';

export interface CommandOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  /** Default 60 s; then SIGKILL and an error. */
  readonly timeoutMs?: number;
  /** Runs as this uid (and gid) instead of root. */
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface InstanceOptions {
  /** Keys of the policy that replace those of the harness. */
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly purpose?: 'test' | 'try' | 'bench';
  /** Runs what was built into this directory of the checkout in place of the sources; default: QWARD_TEST_PROGRAMS. */
  readonly bundles?: string;
  /** Do not bring it up yet. */
  readonly down?: boolean;
  /** Runs everything in this network namespace, a path such as /proc/PID/ns/net. */
  readonly network?: string;
  /** Runs everything without these capabilities in its bounding set. */
  readonly without?: readonly string[];
}

export interface Instance extends AsyncDisposable {
  readonly directory: string;
  readonly roots: Roots;
  readonly paths: Paths;
  readonly managerUid: number;
  readonly uidRange: { readonly base: number; readonly count: number };
  readonly cgroupParent: string;
  readonly guest: DemoGuest;
  readonly client: QwardClient;
  /** The command line of the CLI, for those who run it themselves. */
  readonly program: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Runs the real CLI. */
  readonly qward: (args: readonly string[], options?: RunOptions) => Promise<CommandOutcome>;
  /** `host up`; throws with its words where it fails. */
  readonly up: () => Promise<void>;
  readonly hostFlags: readonly string[];
  /** Pid of a daemon; throws where it does not run. */
  readonly daemon: (name: 'broker' | 'manager') => number;
  /** A fresh qcow2 disk of 64 MiB in the storage root; gives its path. */
  readonly disk: (name: string) => string;
  readonly writePolicy: (policy: Readonly<Record<string, unknown>>) => void;
}

const uidsPerInstance = 64;
/** Above qward's own default range and below what systemd and container managers take. */
const firstTestUid = 0x7100_0000;
const firstManagerUid = 900_000_000;
const instanceSlots = 100_000;

export function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  options: RunOptions = {},
): Promise<CommandOutcome> {
  const [program = '', ...args] = argv;
  const timeoutMs = options.timeoutMs ?? 60_000;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...env, ...options.env },
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.on('data', (piece: Buffer) => out.push(piece));
    child.stderr.on('data', (piece: Buffer) => err.push(piece));
    // A program that ends without reading its input is no fault of the harness.
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin ?? '');
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(out).toString('utf8');
      const stderr = Buffer.concat(err).toString('utf8');
      if (late) reject(new Error(`${argv.join(' ')}: no end within ${timeoutMs} ms\n${stdout}${stderr}`));
      else resolve({ status: status ?? 128, stdout, stderr });
    });
  });
}

/** Names are short: the path of a machine's socket must fit into 107 bytes, with a name of 63. */
function makeMark(purpose: string): Omit<InstanceMark, 'owner'> {
  const slot = randomInt(instanceSlots);
  const name = `qward-${purpose === 'test' ? 't' : purpose}-${slot.toString(36).padStart(4, '0')}`;
  return {
    directory: join(instanceParent, name),
    cgroupParent: `/${name}`,
    managerUid: firstManagerUid + slot,
    uidRange: { base: firstTestUid + slot * uidsPerInstance, count: uidsPerInstance },
  };
}

function programOf(site: string, bundles: string | undefined): readonly string[] {
  if (bundles !== undefined) return [join(site, bundles, 'bin/qward')];
  // As bin/qward does, but for the compile cache: that is kept within the instance.
  const node = join(site, 'node_modules/.bin/node');
  return [node, '--disable-warning=ExperimentalWarning', join(site, 'src/cli/main.ts')];
}

function readDaemon(run: string, name: 'broker' | 'manager'): number {
  const { daemons } = JSON.parse(readFileSync(join(run, 'host.json'), 'utf8')) as {
    readonly daemons: readonly { readonly name: string; readonly pid: number }[];
  };
  const pid = daemons.find((daemon) => daemon.name === name)?.pid;
  if (pid === undefined) throw new Error(`qward-${name} was not started`);
  return pid;
}

/** Needs root. The instance is swept when it is disposed of, whatever has become of its processes. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const claim = makeMark(options.purpose ?? 'test');
  claimDirectory(claim);
  const sweep = async (): Promise<void> => {
    const mark = JSON.parse(readFileSync(join(claim.directory, 'instance.json'), 'utf8')) as InstanceMark;
    await sweepInstance(mark);
  };
  try {
    const instance = prepare(claim, options, sweep);
    if (options.down !== true) await instance.up();
    return instance;
  } catch (error) {
    await sweep();
    throw error;
  }
}

function prepare(
  claim: Omit<InstanceMark, 'owner'>,
  options: InstanceOptions,
  sweep: () => Promise<void>,
): Instance {
  const { directory, cgroupParent, managerUid, uidRange } = claim;
  const roots = { config: `${directory}/etc`, run: `${directory}/r`, state: `${directory}/lib` };
  const paths = pathsBelow(roots);
  const guest = buildDemoGuest();
  mkdirSync(roots.config);
  mkdirSync(paths.images, { recursive: true });
  const writePolicy = (policy: Readonly<Record<string, unknown>>): void => {
    const base = {
      uidRange,
      storageRoots: [
        { path: paths.images, access: 'rw' },
        { path: defaultCache, access: 'ro' },
      ],
    };
    writeFileSync(paths.policy, JSON.stringify({ ...base, ...policy }), { mode: 0o644 });
  };
  writePolicy(options.policy ?? {});
  const inNetwork = options.network === undefined ? [] : ['/usr/bin/nsenter', `--net=${options.network}`];
  const dropped = (options.without ?? []).map((name) => `-${name}`).join(',');
  const program = [
    ...inNetwork,
    ...(dropped === '' ? [] : ['/usr/bin/setpriv', `--bounding-set=${dropped}`]),
    ...programOf(exposeCheckout(directory), options.bundles ?? process.env['QWARD_TEST_PROGRAMS']),
  ];
  const environment = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    QWARD_SOCKET: paths.apiSocket,
    LANG: 'C.UTF-8',
    NODE_COMPILE_CACHE: join(directory, 'cache'),
  };
  const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
  const hostFlags = [...places, '--manager-uid', String(managerUid), '--cgroup-parent', cgroupParent];
  const qward = (args: readonly string[], runOptions?: RunOptions): Promise<CommandOutcome> =>
    run([...program, ...args], environment, runOptions);
  const client = new QwardClient({ socketPath: paths.apiSocket });
  return {
    directory,
    roots,
    paths,
    managerUid,
    uidRange,
    cgroupParent,
    guest,
    client,
    program,
    environment,
    hostFlags,
    qward,
    writePolicy,
    up: async () => {
      const outcome = await qward(['host', 'up', ...hostFlags]);
      if (outcome.status !== 0)
        throw new Error(`qward host up: ${outcome.stderr}${outcome.stdout}${logs(roots.run)}`);
    },
    daemon: (name) => readDaemon(roots.run, name),
    disk: (name) => {
      const path = join(paths.images, `${name}.qcow2`);
      createDemoDisk(path);
      chownSync(path, 0, 0);
      chmodSync(path, 0o600);
      return path;
    },
    [Symbol.asyncDispose]: async () => {
      client.close();
      await sweep();
    },
  };
}

function logs(runDirectory: string): string {
  return ['broker', 'manager']
    .map((name) => {
      try {
        return `\n${name}: ${readFileSync(join(runDirectory, `${name}.log`), 'utf8').slice(-2000)}`;
      } catch {
        return '';
      }
    })
    .join('');
}
