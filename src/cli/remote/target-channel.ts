/** Files of image jobs on the other host: one request a channel, a line of JSON each way; made there by `dial-stdio`, as its user. */
import { TransportError } from '../../api/http.ts';
import { parseTrusted } from '../../api/json.ts';
import type { MadePart, TargetFiles, FaultText } from '../../api/target-files.ts';
import { diskJobPattern } from '../../protocol/disk-job.ts';
import type { Channel } from './mux.ts';

const maxLineBytes = 16 * 1024;
const acts = ['make', 'publish', 'remove'] as const;
type Act = (typeof acts)[number];

/** All that comes until the end. */
async function readAll(channel: Channel): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of channel as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.length;
    if (length > maxLineBytes) throw new Error('more than a line');
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** `open` gives undefined where the other side makes no files: then the manager has to, for administrators. */
export function remoteTargets(open: () => Promise<Channel | undefined>): TargetFiles {
  const ask = async (act: Act, path: string, job: string): Promise<unknown> => {
    const channel = await open();
    if (channel === undefined) return undefined;
    channel.write(`${JSON.stringify({ act, path, job })}\n`);
    try {
      return JSON.parse(await readAll(channel));
    } catch (cause) {
      throw new TransportError('broken', 'the connection was lost', { cause });
    }
  };
  /* oxlint-disable typescript/no-unsafe-type-assertion -- the other side is the user's own process */
  return {
    make: async (path, job) => ((await ask('make', path, job)) ?? { made: false }) as MadePart,
    publish: async (path, job) => ((await ask('publish', path, job)) ?? null) as FaultText | null,
    remove: async (path, job) => void (await ask('remove', path, job)),
  };
  /* oxlint-enable typescript/no-unsafe-type-assertion */
}

interface Order {
  readonly act: Act;
  readonly path: string;
  readonly job: string;
}

function parseOrder(line: string): Order | undefined {
  try {
    const { act: said, path, job } = parseTrusted<Record<string, unknown>>(line);
    const act = acts.find((one) => one === said);
    if (act === undefined || typeof path !== 'string' || typeof job !== 'string') return undefined;
    return path.startsWith('/') && diskJobPattern.test(job) ? { act, path, job } : undefined;
  } catch {
    return undefined;
  }
}

/** The other end of it: what it made and nobody gave a name to goes with the connection. */
export class TargetServer {
  readonly #files: TargetFiles;
  readonly #made = new Map<string, Order>();

  constructor(files: TargetFiles) {
    this.#files = files;
  }

  serve(channel: Channel): void {
    channel.on('error', () => channel.destroy());
    let text = '';
    channel.on('data', (piece: Buffer) => {
      text += piece.toString('utf8');
      if (text.length > maxLineBytes) channel.destroy(new Error('more than a line'));
      if (!text.endsWith('\n')) return;
      const order = parseOrder(text);
      if (order === undefined) channel.destroy(new Error('no order of this protocol'));
      else void this.#do(order).then((answer) => channel.end(JSON.stringify(answer)));
    });
  }

  async end(): Promise<void> {
    await Promise.all([...this.#made.values()].map(({ path, job }) => this.#files.remove(path, job)));
  }

  async #do({ act, path, job }: Order): Promise<unknown> {
    const key = `${job} ${path}`;
    if (act === 'make') {
      const answer = await this.#files.make(path, job);
      if ('made' in answer && answer.made) this.#made.set(key, { act, path, job });
      return answer;
    }
    // Only what was made over this very connection.
    if (!this.#made.has(key)) return null;
    const answer =
      act === 'publish' ? await this.#files.publish(path, job) : await this.#files.remove(path, job);
    if (act === 'remove' || answer === null) this.#made.delete(key);
    return answer ?? null;
  }
}
