/**
 * A machine's memory between QEMU and its file: compressed, and known by its sum. QEMU has one end of a socket pair, never
 * the file.
 * SECURITY: rule QMP. A QEMU that was taken over writes what it likes, for ever or not at all: bytes are counted, and a
 * stream that stands still is ended.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import type { Part } from './saved-states.ts';
import type { StateNote } from './state-note.ts';

/** As fast as a disk takes it; memory is mostly easy. */
const compressionLevel = 1;
const chunkBytes = 256 * 1024;

export interface Written {
  /** What QEMU wrote, and what of it is in the file. */
  readonly plainBytes: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Thrown where QEMU writes more than its machine can have. */
export class TooMuchMemory extends Error {}

/** Bytes that went through, for who watches whether any do. */
export interface Meter {
  bytes: number;
}

/** What comes from QEMU until it closes its end, as a file that is on disk. Throws; the part is its caller's to abandon. */
export async function writeMemory(
  socket: Socket,
  { handle }: Part,
  options: { readonly maxBytes: number; readonly meter: Meter; readonly signal: AbortSignal },
): Promise<Written> {
  const { maxBytes, meter, signal } = options;
  const hash = createHash('sha256');
  const kept: Meter = { bytes: 0 };
  await pipeline(
    socket,
    async function* bounded(source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        meter.bytes += chunk.length;
        if (meter.bytes > maxBytes) throw new TooMuchMemory(`more than ${maxBytes} bytes`);
        yield chunk;
      }
    },
    createZstdCompress({
      params: {
        [constants.ZSTD_c_compressionLevel]: compressionLevel,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    }),
    summed(hash, kept),
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) await handle.writeFile(chunk);
    },
    { signal },
  );
  await handle.sync();
  await handle.close();
  return { plainBytes: meter.bytes, bytes: kept.bytes, sha256: hash.digest('hex') };
}

/** Why the memory did not come through whole: of the file, not of QEMU. */
export class DamagedMemory extends Error {}

/**
 * The memory of a state to QEMU. Throws DamagedMemory where it is not what was written; QEMU may have read part of it by
 * then, and must not go on.
 */
export async function readMemory(
  path: string,
  { memory }: StateNote,
  socket: Socket,
  options: { readonly meter: Meter; readonly signal: AbortSignal },
): Promise<void> {
  const { meter, signal } = options;
  const hash = createHash('sha256');
  const read: Meter = { bytes: 0 };
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: chunkBytes }),
      summed(hash, read),
      createZstdDecompress(),
      async (source: AsyncIterable<Buffer>) => {
        for await (const chunk of source) {
          meter.bytes += chunk.length;
          if (meter.bytes > memory.plainBytes) throw new DamagedMemory('it holds more than was saved');
          await give(socket, chunk);
        }
      },
      { signal },
    );
  } catch (error) {
    const code: unknown = Reflect.get(Object(error), 'code');
    // A stream that is no zstd, or ends too early; ENOENT and their like of the file itself.
    if (typeof code === 'string' && /^(?:ZSTD_|Z_|ERR_ZSTD|ERR_ZLIB|ENOENT|EACCES|EIO)/.test(code))
      throw new DamagedMemory(error instanceof Error ? error.message : code);
    throw error;
  }
  socket.end();
  if (read.bytes !== memory.bytes) throw new DamagedMemory(`${read.bytes} bytes instead of ${memory.bytes}`);
  if (hash.digest('hex') !== memory.sha256) throw new DamagedMemory('its checksum differs');
  if (meter.bytes !== memory.plainBytes) throw new DamagedMemory('it holds less than was saved');
}

/** A QEMU that has what it needs closes its end: the rest is read for its sum alone. */
async function give(socket: Socket, chunk: Buffer): Promise<void> {
  if (!socket.writable || socket.write(chunk)) return;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const go = (): void => {
    resolve(undefined);
  };
  socket.once('drain', go).once('close', go);
  await promise;
  socket.off('drain', go).off('close', go);
}

function summed(hash: Hash, meter: Meter): (source: AsyncIterable<Buffer>) => AsyncIterable<Buffer> {
  return async function* sum(source) {
    for await (const chunk of source) {
      meter.bytes += chunk.length;
      hash.update(chunk);
      yield chunk;
    }
  };
}
