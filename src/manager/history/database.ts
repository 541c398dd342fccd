/**
 * The history on disk: an SQLite database with a write-ahead log, version 1 (`PRAGMA user_version`; 0 before there were
 * versions, with the same tables). Every call blocks: it is used in a thread of its own.
 */
import { existsSync, renameSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { newerThan } from '../store/newer.ts';
import type { BrokerAction, EntryFilter, KeptEntry, StoredEntry } from './messages.ts';

export interface HistoryLimits {
  readonly entries: number;
  readonly actions: number;
  readonly ageMs: number;
}

export interface HistoryDatabase {
  /** All of it or nothing; throws where the disk is full. */
  readonly write: (entries: readonly StoredEntry[], actions: readonly BrokerAction[]) => readonly KeptEntry[];
  readonly entries: (filter: EntryFilter) => readonly KeptEntry[];
  readonly actions: (since: number) => readonly BrokerAction[];
  /** Where a database that could not be read was put; null: it could. */
  readonly damaged: string | null;
  readonly close: () => void;
}

const columns = [
  'at',
  'uid',
  'user',
  'pid',
  'call',
  'machine',
  'owner',
  'outcome',
  'code',
  'rule',
  'details',
  'stranger',
] as const satisfies readonly (keyof StoredEntry)[];

const schemaVersion = 1;

// What is written after a kill is whole up to the last commit; after a power cut up to the last checkpoint.
const schema = `
  PRAGMA user_version = ${schemaVersion};
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA journal_size_limit = 4194304;
  CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, pid INTEGER,
    call TEXT NOT NULL, machine TEXT, owner INTEGER, outcome TEXT NOT NULL, code TEXT, rule TEXT, details TEXT,
    stranger INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS action (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, call TEXT NOT NULL, machine TEXT NOT NULL,
    phase TEXT NOT NULL) STRICT;
  CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the history is only added to'); END;
`;

/** A thread before this one may be closing the database. */
const busyMs = 5000;
/** Rows are counted again after so many. */
const trimEvery = 1000;

export function openHistoryDatabase(path: string, limits: HistoryLimits): HistoryDatabase {
  const { database, damaged } = openOrSetAside(path);
  const insertEntry = database.prepare(
    `INSERT INTO entry (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  );
  const insertAction = database.prepare('INSERT INTO action (at, call, machine, phase) VALUES (?, ?, ?, ?)');
  let untrimmed = trimEvery;
  return {
    damaged,
    write: (entries, actions) =>
      inTransaction(database, () => {
        const kept = entries.map((entry) => {
          const { lastInsertRowid } = insertEntry.run(...columns.map((column) => sqlValue(entry[column])));
          return { ...entry, id: Number(lastInsertRowid) };
        });
        for (const { at, call, machine, phase } of actions) insertAction.run(at, call, machine, phase);
        untrimmed += entries.length + actions.length;
        if (untrimmed >= trimEvery) {
          trim(database, limits);
          untrimmed = 0;
        }
        return kept;
      }),
    entries: (filter) => selectEntries(database, filter),
    actions: (since) =>
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a row of our own strict table
      database
        .prepare('SELECT at, call, machine, phase FROM action WHERE at >= ? ORDER BY id')
        .all(since) as unknown as BrokerAction[],
    close: () => database.close(),
  };
}

const sqlValue = (value: string | number | boolean | null): SQLInputValue =>
  typeof value === 'boolean' ? Number(value) : value;

/** A file that is no database any more is kept beside a new one. */
function openOrSetAside(path: string): { readonly database: DatabaseSync; readonly damaged: string | null } {
  try {
    return { database: open(path), damaged: null };
  } catch (error) {
    // SQLITE_CORRUPT and SQLITE_NOTADB: https://www.sqlite.org/rescode.html
    if (error instanceof Error && [11, 26].includes(Number(Reflect.get(error, 'errcode')))) {
      const damaged = `${path}.damaged`;
      for (const end of ['', '-wal', '-shm'])
        if (existsSync(path + end)) renameSync(path + end, damaged + end);
      return { database: open(path), damaged };
    }
    throw error;
  }
}

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyMs });
  try {
    const newer = newerThan(database.prepare('PRAGMA user_version').get()?.['user_version'], schemaVersion);
    // SECURITY: promise 7. Nothing is changed in it, and what comes to be kept waits.
    if (newer !== undefined) throw new Error(`${path}: ${newer.reason}`);
    database.exec(schema);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function selectEntries(database: DatabaseSync, filter: EntryFilter): KeptEntry[] {
  const conditions: string[] = [];
  const values: SQLInputValue[] = [];
  const where = (condition: string, ...given: SQLInputValue[]): void => {
    conditions.push(condition);
    values.push(...given);
  };
  // SECURITY: promise 4. Others' entries are no more to be seen than others' machines.
  if (filter.visibleTo !== null) where('(uid = ? OR owner = ?)', filter.visibleTo, filter.visibleTo);
  if (filter.machine !== null) where('machine = ?', filter.machine);
  if (filter.user !== null) where('(user = ? OR CAST(uid AS TEXT) = ?)', filter.user, filter.user);
  if (filter.since !== null) where('at >= ?', filter.since);
  if (filter.refused) where("outcome = 'refused'");
  const condition = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const rows = database
    .prepare(`SELECT id, ${columns.join(', ')} FROM entry ${condition} ORDER BY id DESC LIMIT ?`)
    .all(...values, filter.limit);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- rows of our own strict table
  const entries = rows as unknown as readonly (Omit<KeptEntry, 'stranger'> & { readonly stranger: number })[];
  return entries.map((entry) => ({ ...entry, stranger: entry.stranger === 1 })).toReversed();
}

function trim(database: DatabaseSync, limits: HistoryLimits): void {
  const before = Date.now() - limits.ageMs;
  for (const table of ['entry', 'action']) database.prepare(`DELETE FROM ${table} WHERE at < ?`).run(before);
  const excess = count(database, 'action') - limits.actions;
  if (excess > 0)
    database
      .prepare('DELETE FROM action WHERE id IN (SELECT id FROM action ORDER BY id LIMIT ?)')
      .run(excess);
  for (let over = count(database, 'entry') - limits.entries; over > 0;) over -= trimHeaviest(database, over);
}

/** SECURITY: promise 4. Nobody pushes out what others did: who has the most entries loses the oldest of them. */
function trimHeaviest(database: DatabaseSync, over: number): number {
  const who = 'CASE stranger WHEN 1 THEN -1 ELSE uid END';
  const shares = database.prepare(
    `SELECT ${who} AS who, count(*) AS n FROM entry GROUP BY who ORDER BY n DESC LIMIT 2`,
  );
  const [first, second] = shares.all().map((row) => ({ who: Number(row['who']), n: Number(row['n']) }));
  if (first === undefined) return over;
  // More than the difference at once where many have about the same: each round looks at every row.
  const surplus = Math.max(Math.ceil(over / 10), first.n - (second?.n ?? 0));
  const taken = Math.min(over, surplus);
  database
    .prepare(`DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE ${who} = ? ORDER BY id LIMIT ?)`)
    .run(first.who, taken);
  return taken;
}

function count(database: DatabaseSync, table: 'entry' | 'action'): number {
  return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'] ?? 0);
}
