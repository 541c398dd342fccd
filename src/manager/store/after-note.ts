/** The part of a run's note that says what is to follow the end: a stop hook that is due, restarts that were, one that is waited for. */
import { readFileSync } from 'node:fs';
import type { AfterNote } from '../lifecycle/after-run.ts';
import type { EndCause } from '../lifecycle/restart-policy.ts';
import type { PendingRestart, RestartNote } from '../lifecycle/restarts.ts';

let known: string | undefined;

/** Of this boot of the host (random(4)); empty where the kernel does not tell. */
export function bootId(): string {
  try {
    known ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    known = '';
  }
  return known;
}

type Field = (name: string) => unknown;

const fieldsOf = (value: unknown): Field | undefined =>
  typeof value === 'object' && value !== null ? (name) => Reflect.get(value, name) : undefined;

const causes: readonly EndCause[] = ['crash', 'power-off', 'other'];
const causeOf = (value: unknown): EndCause | undefined => causes.find((cause) => cause === value);

/** Null where nothing is to follow, or what stands there is of another boot: a host that comes up starts what starts with it. */
export function parseAfterNote(value: unknown): AfterNote | null {
  const field = fieldsOf(value);
  if (field === undefined || field('bootId') !== bootId()) return null;
  const due = fieldsOf(field('due'));
  const cause = causeOf(due?.('cause'));
  const state = due?.('state');
  const known = state === 'stopped' || state === 'crashed' || state === 'failed' || state === 'saved';
  return {
    bootId: bootId(),
    due: cause !== undefined && known ? { cause, state } : null,
    restarts: parseRestarts(field('restarts')),
  };
}

function parseRestarts(value: unknown): RestartNote {
  const field = fieldsOf(value);
  const [times, givenUp] = [field?.('times'), field?.('givenUp')];
  return {
    times: Array.isArray(times) ? times.filter((at) => typeof at === 'number' && Number.isFinite(at)) : [],
    pending: parsePending(field?.('pending')),
    givenUp: typeof givenUp === 'string' ? givenUp : null,
  };
}

function parsePending(value: unknown): PendingRestart | null {
  const field = fieldsOf(value);
  const cause = causeOf(field?.('cause'));
  const [at, attempt, of] = [field?.('at'), field?.('attempt'), field?.('of')];
  if (cause === undefined || typeof at !== 'string' || Number.isNaN(Date.parse(at))) return null;
  return typeof attempt === 'number' && typeof of === 'number' ? { cause, at, attempt, of } : null;
}
