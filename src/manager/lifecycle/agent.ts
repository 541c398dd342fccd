/**
 * The guest agent of one running machine. QEMU serves one connection to it: whatever is asked shares this one, which is opened
 * when it is needed and closed soon after, and one command is given at a time, in the order in which they were asked for.
 */
import { setTimeout as after, clearTimeout as cancel } from 'node:timers';
import { AgentSession, silentAgent, type AgentCommandOptions } from '../../qmp/agent-session.ts';
import type { AgentPort } from '../../qmp/agent-commands.ts';
import type { CommandFailure, CommandResult } from '../../qmp/command-result.ts';
import type { Fields } from '../../qmp/shape.ts';
import { connectQemu } from './connect-qemu.ts';
import type { Run } from './run.ts';
import { OneAtATime } from '../one-at-a-time.ts';

/** More than so many that wait for a silent agent are told so at once. */
const maxWaiting = 32;
/** What asks again and again keeps the connection: QEMU keeps what was asked until the guest opens its end. */
const idleMs = 2_000;

export class Agent implements AgentPort, Disposable {
  readonly #run: Pick<Run, 'launched' | 'process' | 'released'>;
  #session: AgentSession | undefined;
  readonly #turns = new OneAtATime();
  #waiting = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(run: Pick<Run, 'launched' | 'process' | 'released'>) {
    this.#run = run;
  }

  /** Whether the machine was started with a channel for it. */
  get there(): boolean {
    return this.#run.launched.sockets.agent !== undefined;
  }

  async execute(
    command: string,
    args: Fields | undefined,
    options: AgentCommandOptions,
  ): Promise<CommandResult<unknown>> {
    if (!this.there)
      return failure('session-ended', 'the machine was started without a channel for the agent');
    if (this.#waiting >= maxWaiting) return failure('busy', 'too much waits for the guest agent already');
    const giveUpAt = performance.now() + options.timeoutMs;
    this.#waiting += 1;
    cancel(this.#idle);
    try {
      return await this.#turns.run(() => this.#execute(command, args, { ...options, giveUpAt }));
    } finally {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#idle = after(() => this[Symbol.dispose](), idleMs).unref();
    }
  }

  [Symbol.dispose](): void {
    cancel(this.#idle);
    this.#session?.[Symbol.dispose]();
    this.#session = undefined;
  }

  async #execute(
    command: string,
    args: Fields | undefined,
    { giveUpAt, ...options }: AgentCommandOptions & { readonly giveUpAt: number },
  ): Promise<CommandResult<unknown>> {
    const left = (): number => giveUpAt - performance.now();
    if (left() <= 0) return failure('timed-out', 'the guest agent had others to answer first');
    const session = this.#session?.open === true ? this.#session : await this.#connect(left());
    if (!(session instanceof AgentSession)) return session;
    const answer = await session.execute(command, args, { ...options, timeoutMs: Math.max(1, left()) });
    // Others may have had a part of the time: what is told is the limit that was asked for.
    return !answer.ok && answer.code === 'timed-out' ? silentAgent(options.timeoutMs) : answer;
  }

  async #connect(timeoutMs: number): Promise<AgentSession | CommandFailure> {
    const { launched, process, released } = this.#run;
    const connected = await connectQemu({
      path: launched.sockets.agent ?? '',
      uid: launched.uid,
      timeoutMs,
      signal: released,
      alive: () => process.alive,
    });
    if (!connected.ok) return failure('session-ended', connected.message);
    this.#session = new AgentSession(connected.socket);
    if (released.aborted) this[Symbol.dispose]();
    return this.#session ?? failure('session-ended', 'the machine ended');
  }
}

function failure(code: CommandFailure['code'], message: string): CommandFailure {
  return { ok: false, code, message };
}
