/** The commands of one throwaway machine, and the connections that it may have, over its stream. */
import { randomBytes } from 'node:crypto';
import type { MessageStream } from '../web-socket.ts';
import { CarriedConnection } from './carried-connection.ts';
import {
  encodeFrame,
  encodeNow,
  encodeWish,
  firstCarried,
  FrameReader,
  GuestFault,
  printable,
  type CommandWish,
  type Frame,
} from './frames.ts';
import { Lookups } from './lookups.ts';
import type { Place } from './places.ts';
import { RunningCommand } from './running-command.ts';
import { deferred } from '../deferred.ts';

/** A key of the kernel's generator, twice over. */
const freshBytes = 64;
const maxCommands = 256;
/** The runner has fewer. */
const maxCarried = 256;

export class RunnerLink {
  readonly #stream: MessageStream;
  readonly #commands = new Map<number, RunningCommand>();
  readonly #carried = new Map<number, CarriedConnection>();
  #places: readonly Place[] = [];
  #opened: PromiseWithResolvers<void> | undefined;
  readonly #reader = new FrameReader();
  #lookups = new Lookups(maxCarried);
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
    const command = new RunningCommand(number, this.#stream);
    this.#commands.set(number, command);
    this.#stream.write(encodeFrame('X', number, words));
    return command;
  }

  /** Of a copy of a saved machine, before the first command. */
  freshen(): void {
    this.#stream.write(encodeFrame('T', 0, encodeNow(new Date(), randomBytes(freshBytes))));
  }

  /** Once: what programs of the guest may connect to. Resolves when they can; throws with the guest's words. */
  async open(places: readonly Place[], onClosed?: (message: string) => void): Promise<void> {
    if (this.#over !== undefined) throw this.#over;
    this.#lookups = new Lookups(maxCarried, onClosed);
    this.#places = places;
    this.#opened = deferred();
    const lines = places.map(({ host, port }) => `${host} ${port}\n`).join('');
    this.#stream.write(encodeFrame('N', 0, Buffer.from(lines)));
    await this.#opened.promise;
  }

  /** Bytes from the guest. Throws GuestFault: then the machine is to be ended. */
  async hear(bytes: Uint8Array): Promise<void> {
    for (const frame of this.#reader.push(bytes)) {
      if (frame.kind === 'B') this.#begin(frame);
      else if (frame.kind === 'N' && this.#opened !== undefined) this.#answered(this.#opened, frame);
      else {
        const those = frame.command >= firstCarried ? this.#carried : this.#commands;
        const one = those.get(frame.command);
        if (one === undefined) throw new GuestFault('the guest speaks of a command that does not run');
        if (one.obey(frame)) those.delete(frame.command);
      }
      // SECURITY: rule guest. Most frames have an answer: a guest that takes none is not listened to.
      if (this.#stream.isFull) await this.#stream.drained();
    }
  }

  /** SECURITY: rule guest. The guest says which of the places, by its index: it has no word for another. */
  #begin({ command: number, data }: Frame): void {
    const place = /^\d{1,3}$/.test(data.toString('latin1')) ? this.#places[Number(data)] : undefined;
    if (place === undefined) throw new GuestFault('the guest asks for a connection that it may not have');
    if (number < firstCarried || this.#carried.has(number) || this.#carried.size >= maxCarried)
      throw new GuestFault('the guest asks for a connection that there cannot be');
    const connection = new CarriedConnection(number, place, this.#stream, this.#lookups.of(place));
    this.#carried.set(number, connection);
  }

  #answered({ resolve, reject }: PromiseWithResolvers<void>, { data }: Frame): void {
    if (data.length === 0) resolve();
    else reject(new Error(`the guest cannot be given its network: ${printable(data)}`));
  }

  end(error: Error): void {
    this.#over ??= error;
    for (const command of this.#commands.values()) command.fail(error);
    this.#commands.clear();
    for (const connection of this.#carried.values()) connection.end();
    this.#carried.clear();
    this.#opened?.reject(this.#over);
  }
}
