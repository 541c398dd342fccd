/** The broker's own log of decisions: JSON lines in a file that only root can write, one old one kept. */
import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { writeStderr } from '../linux/stderr.ts';
import { maxLogLine } from '../protocol/broker.ts';

const maxLogBytes = 8 * 1024 * 1024;
/** After `{"at":"`. */
const timeAt = 7;
/** Of one kind and user, so many refusals a minute are told each by itself; the rest is counted. Lists are cut to so many parts. */
const [maxTold, maxParts, foldMs] = [20, 8, 60_000];
/** Kinds and users that are counted each by itself: of uids above those of accounts, which one user may have many of, each 65,536. */
const [maxFolds, accounts] = [1024, 65_536];

type Entry = Readonly<Record<string, unknown>>;
export type BrokerLog = (entry: Entry) => void;

/**
 * SECURITY: promise 1. Whoever is refused without end, or asks for what is not there, fills no log: what is done is always written, the
 * rest a few a minute and the others as a number (`times`).
 */
export function openBrokerLog(file: string, now: () => Date): BrokerLog {
  const write = (entry: Entry, cut?: typeof brief): void => {
    try {
      appendFileSync(file, `${JSON.stringify({ at: now().toISOString(), ...entry }, cut)}\n`, {
        mode: 0o600,
      });
      rotate(file);
    } catch (error) {
      // A full disk must not keep machines from being stopped; the decision is told where it can still be seen.
      writeStderr(
        `qward-broker: ${file}: ${error instanceof Error ? error.message : 'cannot be written'}: ${JSON.stringify(entry)}\n`,
      );
    }
  };
  const folds = new Map<string, number>();
  const unfold = (key: string): void => {
    const times = (folds.get(key) ?? 0) - maxTold;
    folds.delete(key);
    const of: object = JSON.parse(key);
    if (times > 0) write({ ...of, times });
  };
  process.once('exit', () => [...folds.keys()].forEach(unfold));
  return (entry) => {
    const { ok, refused, call, uid, idle } = entry;
    // Of a launch each wall that gave way is told.
    if (ok === true && idle !== true) return write(entry, call === 'launch' ? undefined : brief);
    const user = Number(uid) < accounts ? { uid } : { uids: Math.floor(Number(uid) / accounts) * accounts };
    const own = JSON.stringify({ refused, call, ...user, ok, idle });
    const key = folds.has(own) || folds.size < maxFolds ? own : '{"refused":"others"}';
    const times = (folds.get(key) ?? 0) + 1;
    if (times === 1) setTimeout(unfold, foldMs, key).unref();
    folds.set(key, times);
    if (times <= maxTold) write(entry, brief);
  };
}

const brief = (_key: string, value: unknown): unknown =>
  typeof value === 'string'
    ? value.slice(0, maxLogLine)
    : Array.isArray(value)
      ? value.slice(0, maxParts)
      : value;

const linesOf = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];

/** The last `limit` lines from `since` (ISO 8601) on, each as far as it says what was done with what. */
export function readBrokerLog(file: string, since: string, limit: number): string[] {
  return [...linesOf(`${file}.1`), ...linesOf(file)]
    .filter((line) => line.slice(timeAt, timeAt + since.length) >= since)
    .slice(-limit)
    .map((line) => line.slice(0, maxLogLine));
}

/** SECURITY: promise 1. Of the log before the last one, what was done is kept for as long again; what was refused goes. */
function rotate(file: string): void {
  if (statSync(file).size <= maxLogBytes) return;
  const done = linesOf(`${file}.1`).filter((line) => line.includes('"ok":true'));
  const kept = `${done.join('\n').slice(-maxLogBytes)}\n${readFileSync(file, 'utf8')}`;
  writeFileSync(`${file}.2`, kept, { mode: 0o600 });
  renameSync(`${file}.2`, `${file}.1`);
  writeFileSync(file, '');
}
