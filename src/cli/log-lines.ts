/** What of a log is new since it was last read. */

interface Line {
  readonly at: string;
  readonly from: string;
  readonly text: string;
}

const same = (one: Line | undefined, other: Line | undefined): boolean =>
  one?.at === other?.at && one?.from === other?.from && one?.text === other?.text;

/**
 * The lines of `now` behind the longest end of `before` that `now` contains as a beginning or within: both are the last
 * lines of one log, and `now` may begin earlier or later than `before`.
 */
export function newLines<Entry extends Line>(
  before: readonly Entry[],
  now: readonly Entry[],
): readonly Entry[] {
  const last = before.at(-1);
  if (last === undefined) return now;
  for (let end = now.length; end > 0; end -= 1) {
    if (!same(now[end - 1], last)) continue;
    const overlap = Math.min(end, before.length);
    let matching = 1;
    while (matching < overlap && same(now[end - 1 - matching], before[before.length - 1 - matching]))
      matching += 1;
    if (matching === overlap) return now.slice(end);
  }
  return now;
}
