/** The broker's own log of decisions: JSON lines in a file that only root can write, one old one kept. */
import { appendFileSync, existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { writeStderr } from '../linux/stderr.ts';
import { maxLogLine } from '../protocol/broker.ts';

const maxLogBytes = 8 * 1024 * 1024;
/** After `{"at":"`. */
const timeAt = 7;

export type BrokerLog = (entry: Readonly<Record<string, unknown>>) => void;

export function openBrokerLog(file: string, now: () => Date): BrokerLog {
  return (entry) => {
    try {
      rotate(file);
      appendFileSync(file, `${JSON.stringify({ at: now().toISOString(), ...entry })}\n`, { mode: 0o600 });
    } catch (error) {
      // A full disk must not keep machines from being stopped; the decision is told where it can still be seen.
      writeStderr(
        `qward-broker: ${file}: ${error instanceof Error ? error.message : 'cannot be written'}: ${JSON.stringify(entry)}\n`,
      );
    }
  };
}

/** The last `limit` lines from `since` (ISO 8601) on, each as far as it says what was done with what. */
export function readBrokerLog(file: string, since: string, limit: number): string[] {
  return [`${file}.1`, file]
    .flatMap((path) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []))
    .filter((line) => line.slice(timeAt, timeAt + since.length) >= since && line !== '')
    .slice(-limit)
    .map((line) => line.slice(0, maxLogLine));
}

function rotate(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > maxLogBytes) renameSync(file, `${file}.1`);
}
