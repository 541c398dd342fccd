/** Standard error of a daemon. */
import { writeSync } from 'node:fs';

/** Where it cannot be written (a full /run, a reader that is gone) the text is lost, and nothing else. */
export function writeStderr(text: string): void {
  try {
    // Not process.stderr: an error there ends the process.
    writeSync(2, text);
  } catch {
    // There is nowhere left to say so.
  }
}
