/**
 * The scroll-back of one serial console: a directory of segments, each named by the offset of its first byte, so that
 * the store stays bounded and knows how much was lost without a second file.
 */
import { mkdir, open, readdir, readFile, rm, stat, unlink, type FileHandle } from 'node:fs/promises';

export interface ScrollBackLimits {
  /** A new segment begins here; the store is at most twice as large. */
  readonly segmentBytes: number;
  /** Output that may wait for the disk. */
  readonly pendingBytes: number;
}

export const scrollBackLimits: ScrollBackLimits = { segmentBytes: 512 * 1024, pendingBytes: 48 * 1024 };

/** So many small segments, at most. */
const maxSegments = 16;
const segmentName = /^\d{16}$/;

export class ScrollBack {
  readonly #directory: string;
  readonly #limits: ScrollBackLimits;
  readonly #segments: number[];
  /** Offset of the next byte that arrives. */
  #end: number;
  /** Offset of the first byte of `#pending`. */
  #flushed: number;
  #pending: Buffer[] = [];
  #file: FileHandle | undefined;
  #flushing: Promise<void> | undefined;
  #batch: Promise<void> = Promise.resolve();
  #beginSegment = false;
  #fault: string | undefined;

  private constructor(directory: string, limits: ScrollBackLimits, segments: number[], end: number) {
    this.#directory = directory;
    this.#limits = limits;
    this.#segments = segments;
    this.#end = end;
    this.#flushed = end;
  }

  /** Goes on where an earlier manager stopped. */
  static async open(directory: string, limits = scrollBackLimits): Promise<ScrollBack> {
    const segments = await readdir(directory).then(
      (names) =>
        names
          .filter((name) => segmentName.test(name))
          .map(Number)
          .sort((a, b) => a - b),
      () => [],
    );
    const last = segments.at(-1);
    const size = last === undefined ? 0 : (await stat(segmentPath(directory, last))).size;
    return new ScrollBack(directory, limits, segments, (last ?? 0) + size);
  }

  /** Bytes since the machine was defined: the offset of the next one. */
  get end(): number {
    return this.#end;
  }

  /** Why output could not be kept lately; undefined while all is well. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Takes output. False: more waits for the disk than should; the caller stops reading until `flush` has ended. */
  append(output: Buffer): boolean {
    this.#pending.push(output);
    this.#end += output.length;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    return this.#end - this.#flushed <= this.#limits.pendingBytes;
  }

  /**
   * What is kept of the bytes up to now, and how many are not kept any more. Output that arrives meanwhile is not in it.
   */
  async read(): Promise<{ readonly output: Buffer; readonly lost: number }> {
    const end = this.#end;
    while (this.#flushed < end) await this.#batch;
    const pieces: Buffer[] = [];
    for (const segment of this.#segments) {
      const piece = await readFile(segmentPath(this.#directory, segment)).catch(() => Buffer.alloc(0));
      pieces.push(piece.subarray(0, Math.max(0, end - segment)));
    }
    const output = Buffer.concat(pieces);
    return { output, lost: end - output.length };
  }

  /** Waits until what arrived so far is on disk, or could not be. */
  async flush(): Promise<void> {
    await this.#flushing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Closes and removes everything. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #flush(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = Buffer.concat(this.#pending);
      this.#pending = [];
      this.#batch = this.#store(batch);
      await this.#batch;
    }
  }

  /** Never rejects: a console whose output cannot be kept still shows it. */
  async #store(batch: Buffer): Promise<void> {
    try {
      await this.#write(batch);
      this.#fault = undefined;
    } catch (error) {
      this.#fault = error instanceof Error ? error.message : String(error);
      // What comes next has another offset than the file's length says: it goes to a segment of its own.
      this.#beginSegment = true;
      await this.#dropEmpty().catch(() => undefined);
    }
    this.#flushed += batch.length;
  }

  async #write(batch: Buffer): Promise<void> {
    const last = this.#segments.at(-1);
    if (last === undefined || this.#beginSegment || this.#flushed - last >= this.#limits.segmentBytes)
      await this.#rotate();
    const segment = this.#segments.at(-1) ?? 0;
    this.#file ??= await open(segmentPath(this.#directory, segment), 'a', 0o600);
    await this.#file.writeFile(batch);
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    this.#file = await open(segmentPath(this.#directory, this.#flushed), 'a', 0o600);
    this.#beginSegment = false;
    if (this.#segments.at(-1) !== this.#flushed) this.#segments.push(this.#flushed);
    await this.#dropOld();
  }

  /** The segment that was begun for output that then did not fit. */
  async #dropEmpty(): Promise<void> {
    const last = this.#segments.at(-1);
    if (last === undefined || (await this.#sizeOf(last)) > 0) return;
    await this.#file?.close();
    this.#file = undefined;
    await unlink(segmentPath(this.#directory, last));
    this.#segments.pop();
  }

  /** A segment goes once newer ones hold a full one's worth: after a time without space there may be several small ones. */
  async #dropOld(): Promise<void> {
    let newer = 0;
    let kept = 0;
    for (const segment of this.#segments.toReversed()) {
      if (newer < this.#limits.segmentBytes && kept < maxSegments) {
        newer += await this.#sizeOf(segment);
        kept += 1;
        continue;
      }
      await unlink(segmentPath(this.#directory, segment)).catch(() => undefined);
      this.#segments.splice(this.#segments.indexOf(segment), 1);
    }
  }

  async #sizeOf(segment: number): Promise<number> {
    return await stat(segmentPath(this.#directory, segment)).then(
      ({ size }) => size,
      () => 0,
    );
  }
}

function segmentPath(directory: string, offset: number): string {
  return `${directory}/${String(offset).padStart(16, '0')}`;
}
