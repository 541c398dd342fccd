/** The commands of one throwaway machine, over its stream. */
import type { MessageStream } from '../web-socket.ts';
import { encodeFrame, encodeWish, FrameReader, GuestFault, type CommandWish } from './frames.ts';
import { RunningCommand } from './running-command.ts';

const maxCommands = 256;

export class RunnerLink {
  readonly #stream: MessageStream;
  readonly #commands = new Map<number, RunningCommand>();
  readonly #reader = new FrameReader();
  #next = 1;
  #over: Error | undefined;

  constructor(stream: MessageStream) {
    this.#stream = stream;
  }

  /** Throws where there are too many, or the machine has ended. */
  start(wish: CommandWish): RunningCommand {
    if (this.#over !== undefined) throw this.#over;
    if (this.#commands.size >= maxCommands)
      throw new RangeError(`${this.#commands.size} commands run already, which is the most`);
    const number = this.#next;
    this.#next += 1;
    const words = encodeWish(wish);
    const command = new RunningCommand(number, (frame) => this.#stream.write(frame));
    this.#commands.set(number, command);
    this.#stream.write(encodeFrame('X', number, words));
    return command;
  }

  /** Bytes from the guest. Throws GuestFault: then the machine is to be ended. */
  hear(bytes: Uint8Array): void {
    for (const frame of this.#reader.push(bytes)) {
      const command = this.#commands.get(frame.command);
      if (command === undefined) throw new GuestFault('the guest speaks of a command that does not run');
      if (command.obey(frame)) this.#commands.delete(frame.command);
    }
  }

  end(error: Error): void {
    this.#over ??= error;
    for (const command of this.#commands.values()) command.fail(error);
    this.#commands.clear();
  }
}
