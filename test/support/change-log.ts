/** The manager's log of changes, which is written beside the answers and not before them. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

type Change = Readonly<Record<string, unknown>>;

/** The entries, once one of them has `text`, or after five seconds as they are then. */
export async function changesOf(
  { paths }: { readonly paths: { readonly managerState: string } },
  text: string,
): Promise<Change[]> {
  const file = `${paths.managerState}/changes.log`;
  const read = (): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  for (const giveUpAt = performance.now() + 5000; performance.now() < giveUpAt; await delay(5))
    if (read().includes(text)) break;
  return read()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Change);
}
