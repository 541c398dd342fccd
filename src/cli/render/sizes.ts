/** Bytes as people write them in a definition. */
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `512MiB`, `1.5GiB`: binary units, at most one digit after the point. */
export function formatBytes(bytes: number): string {
  // What a hostile manager sends is not always a number: it comes out as NaN.
  let value = bytes / 1;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(1))}${units[unit] ?? ''}`;
}
