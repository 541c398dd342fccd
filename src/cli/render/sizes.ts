/** Bytes as people write them in a definition. */
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `512MiB`, `1.5GiB`: binary units, at most one digit after the point. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(1))}${units[unit] ?? ''}`;
}
