/** One life of a machine: its QEMU process and the connections that the manager has to it. */
import type { FileIdentity } from '../../audit/expected-walls.ts';
import { definitionText } from '../../definition/format-full.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { QmpSession } from '../../qmp/session.ts';
import { memoryKills } from '../../linux/limits-hit.ts';
import { sendDescriptor } from '../../linux/pass-descriptor.ts';
import { Console } from '../console/console.ts';
import { ScrollBack } from '../console/scroll-back.ts';
import { Agent } from './agent.ts';
import { HandedSockets } from '../handed-sockets.ts';
import type { RunNote } from '../store/run-notes.ts';
import { connectQemu } from './connect-qemu.ts';
import { firstNote, Hotplug, type HotplugNote } from '../hotplug/hotplug.ts';
import { Media, type MediaNote } from '../media/media.ts';
import { asIfLaunched } from './held-files.ts';
import { Viewers } from '../vnc/viewers.ts';
import type { SideServers } from '../beside/side-servers.ts';
import type { UserNetworks } from '../networks/user-networks.ts';
import { ProcessWatch } from './process-watch.ts';

/** What the manager did, or saw the guest do, that will end the process; `cut off`: nobody finished its start; `saved`: its state is kept; `moved`: it runs on another host. */
export type Ending = 'none' | 'powerdown' | 'kill' | 'cut off' | 'saved' | 'moved';

export interface RunOptions {
  readonly launched: LaunchedMachine;
  readonly managerState: string;
  /** Revision of the definition that it was started from; null: not known. */
  readonly revision: string | null;
  /** Where in QEMU's log to read on. */
  readonly logOffset: number;
  /** Which files it was given, as they were when it was planned; empty: not known. */
  readonly files: Readonly<Record<string, FileIdentity>>;
  /** The discs that were changed since its launch; default: none. */
  readonly media?: MediaNote | undefined;
  /** The disks that were attached and detached since; default: none. */
  readonly hotplug?: HotplugNote | undefined;
  /** What it was started from; undefined: not known. */
  readonly definition?: MachineDefinition | undefined;
}

export type ConnectResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly gone: boolean; readonly message: string };

/** A QEMU that runs answers within milliseconds. */
const answersWithinMs = 10_000;
/** One that begins needs some tenths of a second of a CPU's time, which a host that boots many machines may not have for it for long. */
export const beginsWithinMs = 60_000;

export class Run implements AsyncDisposable {
  readonly launched: LaunchedMachine;
  readonly revision: string | null;
  readonly files: RunOptions['files'];
  readonly definition: MachineDefinition | undefined;
  readonly process: ProcessWatch;
  /** Killed beside it for memory before it was known; limitsHit has why. */
  readonly killsBefore: number;
  readonly console: Console;
  readonly handed = new HandedSockets();
  readonly viewers = new Viewers(this.handed);
  readonly agent: Agent;
  /** Once its cards are served. */
  networks: UserNetworks | undefined;
  beside: SideServers | undefined;
  readonly media: Media;
  readonly hotplug: Hotplug;
  session: QmpSession | undefined;
  ending: Ending = 'none';
  /** It is being saved or moved: how its guest was before, and is to be again where that fails. */
  saving: 'running' | 'paused' | undefined;
  /** It is being moved by this manager, which watches it. */
  moving = false;
  /** Whether its start is known to have been finished: every wall was proved then. */
  begun = false;
  /** The SHUTDOWN event, once it came: the guest or QEMU is about to end by its own will. */
  shutdown: { readonly guest: boolean; readonly reason: string } | undefined;
  logOffset: number;
  /** Called when the guest, or its firmware, has reset itself. */
  onGuestReset: (() => void) | undefined;
  #definitionText: string | undefined;
  #disposed = new AbortController();

  private constructor(options: RunOptions, scrollBack: ScrollBack) {
    this.launched = options.launched;
    this.revision = options.revision;
    this.files = options.files;
    this.definition = options.definition;
    this.logOffset = options.logOffset;
    this.process = new ProcessWatch(options.launched.pid, options.launched.startTime);
    this.killsBefore = memoryKills(options.launched.cgroup);
    this.console = new Console(scrollBack);
    this.agent = new Agent(this);
    this.media = new Media(options.launched, options.media);
    this.hotplug = new Hotplug(options.launched, options.hotplug ?? firstNote(options));
  }

  static async open(options: RunOptions): Promise<Run> {
    return new Run(
      options,
      await ScrollBack.open(consoleDirectory(options.managerState, options.launched.machine)),
    );
  }

  /** As if it had been launched with what it holds now. */
  get now(): LaunchedMachine {
    return asIfLaunched(this.launched, [this.media.sinceLaunch, this.hotplug.sinceLaunch]);
  }

  /** The files that it has open, by path: as they were planned where that is known, as the broker opened them else. */
  get openFiles(): Readonly<Record<string, FileIdentity>> {
    const { files } = this.now;
    const planned = Object.entries(this.files).filter(([path]) => Object.hasOwn(files, path));
    return { ...files, ...Object.fromEntries(planned) };
  }

  /** What a successor must know of how it was started, and of a save under way. */
  get startNote(): Pick<RunNote, 'definition' | 'saving'> {
    const { definition, saving } = this;
    if (definition !== undefined) this.#definitionText ??= definitionText(definition);
    return {
      ...(this.#definitionText === undefined ? {} : { definition: this.#definitionText }),
      ...(saving === undefined ? {} : { saving }),
    };
  }

  get accel(): 'kvm' | 'tcg' {
    return this.launched.launch.devices.includes('/dev/kvm') ? 'kvm' : 'tcg';
  }

  /** Whether it has a screen that can be looked at. */
  get hasScreen(): boolean {
    return this.launched.launch.argv.includes('-vnc');
  }

  /** Monitor first: when it greets, QEMU has made its other sockets as well. */
  async connect(signal: AbortSignal, withinMs = answersWithinMs): Promise<ConnectResult> {
    const monitor = await this.#connectMonitor(signal, withinMs);
    if (!monitor.ok) return monitor;
    // A machine runs on where its console cannot be had; the next attempt is made when the monitor reconnects.
    await this.#connectConsole(signal);
    return { ok: true };
  }

  /** Closes what the manager holds. QEMU is not touched. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('the manager goes down; the machine runs on', true);
  }

  /** The same with a word to those who watch the console. */
  async end(message: string, goesOn = false): Promise<void> {
    this.#disposed.abort();
    this.viewers.end();
    this.agent[Symbol.dispose]();
    this.networks?.release();
    this.beside?.release();
    await this.session?.[Symbol.asyncDispose]();
    this.process[Symbol.dispose]();
    await this.console.end(message, goesOn);
  }

  /** Fires when the run is let go of. */
  get released(): AbortSignal {
    return this.#disposed.signal;
  }

  async #connectMonitor(signal: AbortSignal, withinMs: number): Promise<ConnectResult> {
    const connected = await this.#socket('qmp', signal, withinMs);
    if (!connected.ok) return { ok: false, gone: connected.reason === 'gone', message: connected.message };
    const { socket } = connected;
    const opened = await QmpSession.open(socket, {
      greetingTimeoutMs: withinMs,
      signal,
      sendDescriptor: (bytes, descriptor) => sendDescriptor(socket, bytes, descriptor),
    });
    if (!opened.ok)
      return { ok: false, gone: opened.reason.code === 'peer-closed', message: opened.reason.message };
    this.session = opened.session;
    return { ok: true };
  }

  async #connectConsole(signal: AbortSignal): Promise<void> {
    if (this.launched.sockets.console === undefined || this.console.connected) return;
    const connected = await this.#socket('console', signal, answersWithinMs);
    if (connected.ok) this.console.connectGuest(connected.socket);
  }

  #socket(name: 'qmp' | 'console', signal: AbortSignal, timeoutMs: number): ReturnType<typeof connectQemu> {
    const { uid, sockets } = this.launched;
    const alive = (): boolean => this.process.alive;
    return connectQemu({ path: sockets[name] ?? '', uid, timeoutMs, signal, alive });
  }
}

export function consoleDirectory(managerState: string, machine: string): string {
  return `${managerState}/console/${machine}`;
}
