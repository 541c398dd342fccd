/**
 * What the manager notes about the runs of a machine, so that its successor knows: runs/NAME.json, version 1. A note
 * that is lost costs a detail of `status`, nothing else; one of a newer qward is left to it.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { machineStates, type MachineState } from '../../api/contract.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { LastEnd } from '../lifecycle/machine-state.ts';
import type { AfterNote } from '../lifecycle/after-run.ts';
import { parseHotplugNote, type HotplugNote } from '../hotplug/hotplug.ts';
import { parseMediaNote, type MediaNote } from '../media/media.ts';
import { parseAfterNote } from './after-note.ts';
import type { BrokenFile } from './definition-store.ts';
import { newerThan } from './newer.ts';

/** Whether every wall was as planned, and when that was looked at, ISO 8601. */
export interface AuditNote {
  readonly ok: boolean;
  readonly at: string;
}

export interface RunNote {
  readonly version: 1;
  readonly state: MachineState;
  readonly since: string;
  /** When the broker launched the process that this note is about; null: it is about none. */
  readonly launchedAt: string | null;
  readonly revision: string | null;
  readonly logOffset: number;
  readonly audit: AuditNote | null;
  readonly lastEnd: LastEnd | null;
  /** What is to follow the end; null in notes of before qward restarted machines. */
  readonly after: AfterNote | null;
  /** Discs that were changed since the launch. */
  readonly media?: MediaNote;
  /** Disks that were attached and detached since. */
  readonly hotplug?: HotplugNote;
  /** What the run was started from, as definitionText has it. */
  readonly definition?: string;
  /** It was being saved, and how its guest was before. */
  readonly saving?: 'running' | 'paused';
}

export class RunNotes {
  readonly #directory: string;
  readonly #newer = new Map<string, BrokenFile>();

  constructor(managerState: string) {
    this.#directory = `${managerState}/runs`;
  }

  async read(machine: string): Promise<RunNote | undefined> {
    const path = `${this.#directory}/${machine}.json`;
    try {
      const value: unknown = JSON.parse(await readFile(path, 'utf8'));
      const newer = newerThan(Reflect.get(Object(value), 'version'), 1);
      if (newer !== undefined) this.#newer.set(machine, { path, ...newer });
      return parseRunNote(value);
    } catch {
      return undefined;
    }
  }

  /** Those that a newer qward wrote, by machine: what it knew of their runs is not known here. */
  get newer(): ReadonlyMap<string, BrokenFile> {
    return this.#newer;
  }

  /** Not synced: a power cut ends the run as well. */
  async write(machine: string, note: RunNote): Promise<void> {
    // SECURITY: promise 7. What a newer qward noted is there when it is back.
    if (this.#newer.has(machine)) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = `${this.#directory}/${machine}.json`;
    await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async rename(machine: string, to: string): Promise<void> {
    await rename(`${this.#directory}/${machine}.json`, `${this.#directory}/${to}.json`).catch(
      () => undefined,
    );
    const newer = this.#newer.get(machine);
    this.#newer.delete(machine);
    if (newer !== undefined) this.#newer.set(to, { ...newer, path: `${this.#directory}/${to}.json` });
  }

  async remove(machine: string): Promise<void> {
    await rm(`${this.#directory}/${machine}.json`, { force: true });
    this.#newer.delete(machine);
  }
}

/** Undefined where a part is missing; a text that is out of form is worth nothing here. */
export function parseRunNote(value: unknown): RunNote | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const field = (name: string): unknown => Reflect.get(value, name);
  const text = (name: string): string | null => {
    const found = field(name);
    return typeof found === 'string' ? found : null;
  };
  const state = machineStates.find((name) => name === field('state'));
  const since = text('since');
  const logOffset = field('logOffset');
  if (field('version') !== 1 || state === undefined || since === null || typeof logOffset !== 'number')
    return undefined;
  const lastEnd = parseLastEnd(field('lastEnd'));
  const media = parseMediaNote(field('media'));
  const hotplug = parseHotplugNote(field('hotplug'));
  const definition = text('definition');
  const saving = field('saving');
  return {
    version: 1,
    state,
    since,
    launchedAt: text('launchedAt'),
    revision: text('revision'),
    logOffset,
    audit: parseAudit(field('audit')),
    lastEnd,
    after: parseAfterNote(field('after')),
    ...(media === undefined ? {} : { media }),
    ...(hotplug === undefined ? {} : { hotplug }),
    ...(definition === null ? {} : { definition }),
    ...(saving === 'running' || saving === 'paused' ? { saving } : {}),
  };
}

function parseAudit(value: unknown): AuditNote | null {
  if (typeof value !== 'object' || value === null) return null;
  const [ok, at]: unknown[] = [Reflect.get(value, 'ok'), Reflect.get(value, 'at')];
  return typeof ok === 'boolean' && typeof at === 'string' ? { ok, at } : null;
}

const endings = ['shut down', 'killed', 'saved', 'moved', 'crashed', 'start failed', 'not known'] as const;

function parseLastEnd(value: unknown): LastEnd | null {
  if (typeof value !== 'object' || value === null) return null;
  const field = (name: string): unknown => Reflect.get(value, name);
  const [signal, exitCode, at, message, log] = ['signal', 'exitCode', 'at', 'message', 'log'].map(field);
  const how = endings.find((name) => name === field('how'));
  if (how === undefined || typeof at !== 'string' || typeof message !== 'string') return null;
  return {
    how,
    at,
    message,
    signal: typeof signal === 'string' ? signal : null,
    exitCode: typeof exitCode === 'number' ? exitCode : null,
    log: Array.isArray(log) ? log.filter((line) => typeof line === 'string') : [],
  };
}

/** What the run that the note is about was started from; undefined: not known. */
export function definitionOfNote(note: RunNote | undefined): MachineDefinition | undefined {
  if (note?.definition === undefined) return undefined;
  const parsed = parseDefinition(note.definition);
  return parsed.ok ? parsed.definition : undefined;
}
