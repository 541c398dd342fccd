/** What a hook wrote, as the machine's log keeps it, and its exit status out of it. Pure. */
import { hookStatusMark } from '../../protocol/hook.ts';
import { capText } from '../log.ts';

/** Of a hook's output; what came before is not kept. */
const maxLines = 100;
const maxLineLength = 1000;

const statusLine = new RegExp(`(?:^|\\n)${hookStatusMark} (\\d{1,3})\\n$`);

/** By the last line alone, which the shell around the hook writes; undefined where that is missing. */
export function statusOf(output: string): number | undefined {
  const status = statusLine.exec(output.slice(-64))?.[1];
  return status === undefined ? undefined : Number(status);
}

/** Without the line of the status. */
export function linesOf(output: string): readonly string[] {
  return (
    output
      .replace(statusLine, '')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-maxLines)
      // SECURITY: rule guest. What a hook repeats may be anybody's text: it is escaped and cut.
      .map((line) => capText(line, maxLineLength))
  );
}
