/** What qward did with a machine and what its QEMU said: JSON lines in two bounded files, nothing in memory. */
import { appendFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface LogLine {
  /** ISO 8601. */
  readonly at: string;
  readonly from: 'qemu' | 'qward' | 'hook';
  readonly text: string;
}

const maxFileBytes = 128 * 1024;

export class MachineLog {
  readonly #path: string;
  #writes: Promise<void> = Promise.resolve();

  constructor(managerState: string, machine: string) {
    this.#path = `${managerState}/logs/${machine}.log`;
  }

  /** Never fails: a machine runs on where its log cannot be written. Resolves with the reason, if there is one. */
  append(lines: readonly LogLine[]): Promise<string | undefined> {
    if (lines.length === 0) return Promise.resolve(undefined);
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    const written = this.#writes.then(() => this.#write(text));
    this.#writes = written.then(() => undefined);
    return written;
  }

  /** The last `count` lines, oldest first. */
  async tail(count: number): Promise<readonly LogLine[]> {
    await this.#writes;
    const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
    const text = (await read(`${this.#path}.1`)) + (await read(this.#path));
    return text
      .split('\n')
      .slice(-count - 1)
      .flatMap(parseLine)
      .slice(-count);
  }

  /** Waits until what was appended so far is in the file. */
  async flush(): Promise<void> {
    await this.#writes;
  }

  async rename(machine: string): Promise<void> {
    await this.#writes;
    for (const suffix of ['', '.1'])
      await rename(this.#path + suffix, `${dirname(this.#path)}/${machine}.log${suffix}`).catch(
        () => undefined,
      );
  }

  async remove(): Promise<void> {
    await this.#writes;
    for (const suffix of ['', '.1']) await rm(this.#path + suffix, { force: true });
  }

  async #write(text: string): Promise<string | undefined> {
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const size = await stat(this.#path).then(
        (stats) => stats.size,
        () => 0,
      );
      if (size > maxFileBytes) await rename(this.#path, `${this.#path}.1`);
      await appendFile(this.#path, text, { mode: 0o600 });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

/** A line that was cut by a full disk or a crash is left out. */
function parseLine(line: string): LogLine[] {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== 'object' || value === null) return [];
    const at: unknown = Reflect.get(value, 'at');
    const from: unknown = Reflect.get(value, 'from');
    const text: unknown = Reflect.get(value, 'text');
    if (typeof at !== 'string' || typeof text !== 'string') return [];
    return from === 'qemu' || from === 'qward' || from === 'hook' ? [{ at, from, text }] : [];
  } catch {
    return [];
  }
}
