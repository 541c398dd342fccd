/** Durations as users write and read them. */

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `500ms`, `30s`, `2m`, `1h` or plain seconds; undefined where it is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,8})(ms|s|m|h)?$/.exec(text);
  const unit = units[match?.[2] ?? 's'];
  return match?.[1] === undefined || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** `3 s`, `4 min`, `2 h`, `5 days`: how long something lasts, roughly. */
export function roughDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
