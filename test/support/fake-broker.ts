/**
 * A broker in the test's own process, behind the manager's port. Its QEMU is a `cat` that waits for the end of its input, so that deaths
 * and pids are real, with a monitor and a console that this process serves.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { startTimeOf } from '../../src/linux/process.ts';
import type { BrokerPort } from '../../src/manager/broker-port.ts';
import type {
  Autostart,
  BrokerStatus,
  FileProbe,
  LaunchedMachine,
  Refusal,
} from '../../src/protocol/broker.ts';
import { hookStatusMark } from '../../src/protocol/hook.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { version } from '../../src/protocol/version.ts';
import { MonitorPeer } from './monitor-peer.ts';

export interface FakeQemu {
  readonly launched: LaunchedMachine;
  readonly process: ChildProcess;
  readonly monitor: MonitorPeer;
  /** What the manager typed on the console. */
  typed: string;
  print(text: string): void;
  say(line: string): void;
  /** The guest powers off: event, end of the monitor, status 0. */
  powerOff(): void;
}

export type Refuse = Pick<Refusal, 'code' | 'message' | 'hint' | 'rule'>;

export class FakeBroker {
  readonly calls: string[] = [];
  readonly machines = new Map<string, FakeQemu>();
  /** Set to have launches refused. */
  launchRefusal: Refuse | undefined;
  /** Set to have the launch of this machine alone refused. */
  refusedMachine: string | undefined;
  /** Set to have QEMU end at once with these lines in its log. */
  failWith: readonly string[] | undefined;
  /** Holds launches back until it resolves. */
  gate: Promise<void> = Promise.resolve();
  /** Holds kills back until it resolves. */
  killGate: Promise<void> = Promise.resolve();
  /** What guests do when their power button is pressed. */
  powerdown: 'off' | 'ignore' = 'off';
  unreachable = false;
  /** What starts with the host. */
  autostart: readonly Autostart[] = [];
  /** Where agents of machines are reached; the test serves them. */
  agentSocket: string | undefined;
  /** What its status says of its own files. */
  damaged: BrokerStatus['damaged'] = [];
  /** What hooks do: what they write, and their exit status. */
  hook: (argv: readonly string[]) => Promise<{ readonly lines: readonly string[]; readonly status: number }> =
    () => Promise.resolve({ lines: [], status: 0 });
  readonly #directory: string;
  readonly #servers: Server[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  readonly port: BrokerPort = {
    open: async ({ machine, descriptor: of }) => {
      this.calls.push('open');
      if (!this.machines.has(machine))
        return { ok: false, faults: [{ code: 'machine-not-running', message: 'it does not run', hint: '' }] };
      const [path, mode] =
        of.kind === 'file' ? [of.path, of.access === 'ro' ? 'r' : 'r+'] : ['/dev/net/tun', 'r+'];
      const descriptor = openSync(path, mode);
      const { dev, ino } = fstatSync(descriptor);
      return { ok: true, value: { device: dev, inode: ino, descriptor } };
    },
    call: async (call, request) => {
      this.calls.push(call);
      if (this.unreachable)
        return { ok: false, faults: [{ code: 'broker-unreachable', message: 'gone', hint: '' }] };
      const field = (name: string): unknown => Reflect.get(request, name);
      const result = await this.#answer(call, field);
      const refused = typeof result === 'object' && result !== null && 'refusal' in result;
      return refused
        ? { ok: false, faults: [(result as { refusal: Refuse }).refusal] }
        : { ok: true, value: result as never };
    },
  };

  qemu(machine: string): FakeQemu {
    const found = this.machines.get(machine);
    if (found === undefined) throw new Error(`${machine} does not run`);
    return found;
  }

  async close(): Promise<void> {
    for (const name of this.machines.keys()) await this.#end(name);
    for (const server of this.#servers) server.close();
  }

  async #answer(call: string, field: (name: string) => unknown): Promise<unknown> {
    const machine = field('machine') as string;
    switch (call) {
      case 'launch':
        return await this.#launch(field('launch') as LaunchRequest);
      case 'kill':
        await this.killGate;
        await this.#end(machine);
        return {};
      case 'reap':
        if (this.#isAlive(machine))
          return { refusal: { code: 'machine-running', message: 'it runs', hint: '' } };
        await this.#end(machine);
        return {};
      case 'inspect':
        return { pid: this.qemu(machine).launched.pid, exe: '/usr/bin/qemu-system-x86_64', cmdline: [] };
      case 'probe':
        return (field('paths') as { path: string }[]).map(({ path }) => probe(path));
      case 'status':
        return this.#status();
      case 'list-directory':
        return { entries: [], more: false, free: 0, total: 0 };
      case 'autostart-off': {
        const before = this.autostart;
        this.autostart = before.filter((entry) => entry.machine !== machine);
        return { disabled: this.autostart.length < before.length };
      }
      case 'rename': {
        const to = field('to') as string;
        this.autostart = this.autostart.map((entry) =>
          entry.machine === machine ? { ...entry, machine: to } : entry,
        );
        return {};
      }
      default:
        return {};
    }
  }

  async #launch(launch: LaunchRequest): Promise<unknown> {
    await this.gate;
    const refused = (this.refusedMachine ?? launch.machine) === launch.machine;
    if (this.launchRefusal !== undefined && refused) return { refusal: this.launchRefusal };
    const directory = `${this.#directory}/${launch.machine}`;
    mkdirSync(directory, { recursive: true });
    const log = `${directory}/log`;
    writeFileSync(log, '');
    const process = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(process, 'spawn');
    const { agentSocket: agent } = this;
    const described = describe(launch, { pid: process.pid ?? 0, directory, log });
    const launched =
      agent === undefined ? described : { ...described, sockets: { ...described.sockets, agent } };
    const lastWords = launch.program === 'hook' ? await this.#hook(launch.argv) : this.failWith;
    if (lastWords !== undefined) {
      writeFileSync(log, lastWords.map((line) => `${line}\n`).join(''));
      process.stdin?.end();
      await once(process, 'exit');
    }
    this.machines.set(launch.machine, this.#serve(launched, process));
    return launched;
  }

  async #hook(argv: readonly string[]): Promise<readonly string[]> {
    const { lines, status } = await this.hook(argv);
    return [...lines, '', `${hookStatusMark} ${status}`];
  }

  #serve(launched: LaunchedMachine, process: ChildProcess): FakeQemu {
    const consoles = new Set<Socket>();
    const powerOff = (): void => {
      monitor.emit('SHUTDOWN', { guest: true, reason: 'guest-shutdown' });
      process.stdin?.end();
      process.once('exit', () => {
        monitor.close();
      });
    };
    const onPowerdown = (): void => {
      if (this.powerdown === 'off') powerOff();
    };
    const monitor = new MonitorPeer(launched.sockets.qmp ?? '', { onPowerdown });
    const qemu: FakeQemu = {
      launched,
      process,
      monitor,
      typed: '',
      powerOff,
      print: (text) => {
        for (const socket of consoles) socket.write(text);
      },
      say: (line) => {
        appendFileSync(launched.log, `${line}\n`);
      },
    };
    process.once('exit', () => {
      monitor.close();
      for (const socket of consoles) socket.destroy();
    });
    if (process.exitCode !== null) monitor.close();
    const server = createServer((socket) => {
      consoles.add(socket);
      socket.on('data', (bytes) => (qemu.typed += bytes.toString()));
      socket.on('error', () => undefined);
      socket.on('close', () => consoles.delete(socket));
    }).listen(launched.sockets.console);
    this.#servers.push(server);
    return qemu;
  }

  #isAlive(machine: string): boolean {
    const qemu = this.machines.get(machine);
    return qemu !== undefined && startTimeOf(qemu.launched.pid) !== undefined;
  }

  async #end(machine: string): Promise<void> {
    const qemu = this.machines.get(machine);
    if (qemu === undefined) return;
    if (this.#isAlive(machine)) {
      const ended = once(qemu.process, 'exit');
      qemu.process.kill('SIGKILL');
      await ended;
    }
    qemu.monitor.close();
    this.machines.delete(machine);
    rmSync(`${this.#directory}/${machine}`, { recursive: true, force: true });
  }

  #status(): BrokerStatus {
    return {
      version,
      pid: process.pid,
      runtime: 'crun',
      runtimesRefused: [],
      cgroups: 'v2',
      policyFaults: [],
      uidRange: { base: 1_879_048_192, count: 100 },
      uidRangeOverlaps: [],
      storageRoots: [{ path: this.#directory, access: 'rw' }],
      bridges: [],
      networks: [],
      qemuBinaries: [],
      machines: [...this.machines].map(([name, { launched }]) => ({
        ...launched,
        alive: this.#isAlive(name),
      })),
      slots: [],
      damaged: this.damaged,
      autostart: this.autostart,
    };
  }
}

function describe(
  launch: LaunchRequest,
  { pid, directory, log }: { readonly pid: number; readonly directory: string; readonly log: string },
): LaunchedMachine {
  const uid = process.getuid?.() ?? 0;
  return {
    machine: launch.machine,
    pid,
    startTime: startTimeOf(pid) ?? 0,
    uid,
    gid: uid,
    cgroup: `/qward/${launch.machine}`,
    runtime: 'crun',
    sockets: { qmp: `${directory}/qmp`, console: `${directory}/console` },
    log,
    launchedAt: new Date().toISOString(),
    files: {},
    launch,
    alive: true,
  };
}

function probe(path: string): FileProbe {
  if (!existsSync(path))
    return {
      path,
      ok: false,
      refusal: { code: 'file-missing', message: `"${path}" is not there`, hint: '' },
    };
  const { size, dev, ino, mtimeMs } = statSync(path);
  const head = readFileSync(path).subarray(0, 1024).toString('base64');
  return { path, ok: true, size, device: dev, inode: ino, modifiedMs: mtimeMs, head, worldReadable: true };
}
