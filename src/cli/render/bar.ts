/** How far something is. */
const barWidth = 24;

/** `[######..................] 25 %`. */
export function bar(told: number): string {
  // What a hostile manager sends is not always a number.
  const percent = Math.min(100, Math.max(0, told / 1 || 0));
  const full = Math.round((percent / 100) * barWidth);
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${Math.floor(percent)} %`;
}
