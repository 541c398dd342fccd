/** The broker's own log of decisions: JSON lines in a file that only root can write, one old one kept. */
import { appendFileSync, renameSync, statSync } from 'node:fs';
import { writeStderr } from '../linux/stderr.ts';

const maxLogBytes = 8 * 1024 * 1024;

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

function rotate(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > maxLogBytes) renameSync(file, `${file}.1`);
}
