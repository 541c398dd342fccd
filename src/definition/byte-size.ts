/** Sizes as users write them. No schema is loaded: the command line reads sizes too. */

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  KiB: 1024,
  KB: 1000,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  MB: 1000 ** 2,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  GB: 1000 ** 3,
  T: 1024 ** 4,
  TiB: 1024 ** 4,
  TB: 1000 ** 4,
};
export const sizePattern = /^(\d{1,15}(?:\.\d{1,3})?) ?([KMGT](?:i?B)?)?$/;

/** Bytes of `512M`, `2GiB`, `1.5G` or a plain number; undefined where it is none of these. K, M, G, T are binary, as in QEMU. */
export function parseByteSize(text: string | number): number | undefined {
  const match = sizePattern.exec(String(text));
  const unit = sizeUnits[match?.[2] ?? ''];
  if (match?.[1] === undefined || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** The shortest exact form: `1536MiB`, `2GiB`, or the plain number of bytes. */
export function formatByteSize(bytes: number): string | number {
  const unit = ['TiB', 'GiB', 'MiB', 'KiB'].find((name) => bytes % (sizeUnits[name] ?? 1) === 0);
  return unit === undefined ? bytes : `${bytes / (sizeUnits[unit] ?? 1)}${unit}`;
}
