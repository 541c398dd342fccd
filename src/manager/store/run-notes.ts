/**
 * What the manager notes about the runs of a machine, so that its successor knows: runs/NAME.json, version 1. A note
 * that is lost costs a detail of `status`, nothing else.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { machineStates, type MachineState } from '../../api/contract.ts';
import type { LastEnd } from '../lifecycle/machine-state.ts';

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
}

export class RunNotes {
  readonly #directory: string;

  constructor(managerState: string) {
    this.#directory = `${managerState}/runs`;
  }

  async read(machine: string): Promise<RunNote | undefined> {
    try {
      return parseRunNote(JSON.parse(await readFile(`${this.#directory}/${machine}.json`, 'utf8')));
    } catch {
      return undefined;
    }
  }

  /** Not synced: a power cut ends the run as well. */
  async write(machine: string, note: RunNote): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = `${this.#directory}/${machine}.json`;
    await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async rename(machine: string, to: string): Promise<void> {
    await rename(`${this.#directory}/${machine}.json`, `${this.#directory}/${to}.json`).catch(
      () => undefined,
    );
  }

  async remove(machine: string): Promise<void> {
    await rm(`${this.#directory}/${machine}.json`, { force: true });
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
  return {
    version: 1,
    state,
    since,
    launchedAt: text('launchedAt'),
    revision: text('revision'),
    logOffset,
    audit: parseAudit(field('audit')),
    lastEnd,
  };
}

function parseAudit(value: unknown): AuditNote | null {
  if (typeof value !== 'object' || value === null) return null;
  const [ok, at]: unknown[] = [Reflect.get(value, 'ok'), Reflect.get(value, 'at')];
  return typeof ok === 'boolean' && typeof at === 'string' ? { ok, at } : null;
}

const endings = ['shut down', 'killed', 'crashed', 'start failed', 'not known'] as const;

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
