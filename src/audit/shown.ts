/** Text of a process that may be hostile, fit for a terminal and a log: plain ASCII, of bounded length. */

const maxText = 160;
const maxItems = 8;

export function shown(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
  return clean.length > maxText ? `${clean.slice(0, maxText)}…` : clean;
}

/** The first items, each once, and how many more there are. */
export function shownList(items: readonly string[]): string {
  const distinct = [...new Set(items.map(shown))];
  const more = distinct.length - maxItems;
  return more > 0 ? `${distinct.slice(0, maxItems).join('; ')}; and ${more} more` : distinct.join('; ');
}
