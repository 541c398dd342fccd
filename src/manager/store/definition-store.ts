/**
 * The definitions on disk: machines/NAME.yaml as the user wrote it, and NAME.json beside it. The YAML file is put in
 * place last and taken away first: a machine exists exactly where it does.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import type { ParsedDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { Outcome } from '../outcome.ts';
import { success } from '../outcome.ts';
import { errorCode } from '../../linux/errno.ts';
import { makeDirectory, removeFile, replaceFile } from './atomic-file.ts';
import { parseMetadata, type Metadata } from './metadata.ts';

/** One machine as it is defined. */
export interface DefinitionRecord {
  readonly name: string;
  readonly definition: MachineDefinition;
  readonly metadata: Metadata;
  /** Changes with every change of the source. */
  readonly revision: string;
}

/** A file that could not be used. It stays where it is. */
export interface BrokenFile {
  readonly path: string;
  readonly reason: string;
  /** Undefined: mend or remove it. */
  readonly cure?: string | undefined;
}

const maxSourceBytes = 256 * 1024;
const fileName = /^([a-z][a-z0-9-]{0,62})\.(yaml|json)$/;

export class DefinitionStore {
  readonly #directory: string;
  readonly #parse: (source: string) => ParsedDefinition;
  readonly #broken = new Set<string>();

  constructor(managerState: string, parse: (source: string) => ParsedDefinition) {
    this.#directory = `${managerState}/machines`;
    this.#parse = parse;
  }

  /** Reads everything. What is broken is told, and neither deleted nor in the way of the rest. */
  async load(): Promise<{ readonly records: DefinitionRecord[]; readonly broken: BrokenFile[] }> {
    await makeDirectory(this.#directory);
    const records: DefinitionRecord[] = [];
    const broken: BrokenFile[] = [];
    const files = await readdir(this.#directory);
    for (const file of files.sort()) {
      const path = `${this.#directory}/${file}`;
      const [, name, kind] = fileName.exec(file) ?? [];
      if (name === undefined) {
        broken.push({ path, reason: 'not a file of qward; half-written files end in .new' });
      } else if (kind === 'yaml') {
        const read = await this.#read(name);
        if ('reason' in read) {
          broken.push(read);
          this.#broken.add(name);
        } else records.push(read);
      } else if (!files.includes(`${name}.yaml`)) {
        broken.push({ path, reason: `there is no ${name}.yaml beside it` });
      }
    }
    return { records, broken };
  }

  /**
   * Whether there is a definition of this name that could not be read.
   * SECURITY: promise 7. It is somebody's, and so is what is kept for the machine: the name is not free.
   */
  isBroken(name: string): boolean {
    return this.#broken.has(name);
  }

  /** The definition as it was written; undefined where it is gone. */
  async source(name: string): Promise<string | undefined> {
    try {
      return await readFile(this.#yaml(name), 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Puts a definition in place: all of it or nothing. */
  async put(
    definition: MachineDefinition,
    source: string,
    metadata: Metadata,
  ): Promise<Outcome<DefinitionRecord>> {
    const { name } = definition;
    const described = await replaceFile(this.#json(name), `${JSON.stringify(metadata)}\n`);
    if (!described.ok) return described;
    const written = await replaceFile(this.#yaml(name), source);
    if (!written.ok) {
      if ((await this.source(name)) === undefined) await removeFile(this.#json(name));
      return written;
    }
    return success({ name, definition, metadata, revision: revisionOf(source) });
  }

  /** What is kept beside a definition that is there. */
  async putMetadata(name: string, metadata: Metadata): Promise<Outcome<void>> {
    return await replaceFile(this.#json(name), `${JSON.stringify(metadata)}\n`);
  }

  async remove(name: string): Promise<Outcome<void>> {
    const removed = await removeFile(this.#yaml(name));
    return removed.ok ? removeFile(this.#json(name)) : removed;
  }

  async #read(name: string): Promise<DefinitionRecord | BrokenFile> {
    const path = this.#yaml(name);
    try {
      if ((await stat(path)).size > maxSourceBytes)
        return { path, reason: `larger than ${maxSourceBytes} bytes` };
      const source = await readFile(path, 'utf8');
      const parsed = this.#parse(source);
      if (!parsed.ok) return { path, reason: parsed.faults.map((fault) => fault.message).join('; ') };
      if (parsed.definition.name !== name)
        return { path, reason: `it defines "${parsed.definition.name}"; the file must bear that name` };
      const described = parseMetadata(await readFile(this.#json(name), 'utf8'));
      if (!described.ok) return { path: this.#json(name), reason: described.reason, cure: described.cure };
      const { definition } = parsed;
      return { name, definition, metadata: described.metadata, revision: revisionOf(source) };
    } catch (error) {
      return { path, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #yaml(name: string): string {
    return `${this.#directory}/${name}.yaml`;
  }

  #json(name: string): string {
    return `${this.#directory}/${name}.json`;
  }
}

export function revisionOf(source: string): string {
  return createHash('sha256').update(source).digest('hex').slice(0, 16);
}
