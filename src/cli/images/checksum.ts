/** Checksums of images: as users type them, as distributions list them, and of files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

export const algorithms = ['sha256', 'sha512'] as const;
export type Algorithm = (typeof algorithms)[number];

export interface Checksum {
  readonly algorithm: Algorithm;
  /** Lower case. */
  readonly hex: string;
}

const digits: Readonly<Record<Algorithm, number>> = { sha256: 64, sha512: 128 };

/** The checksum, or what is wrong with the text. */
export function parseChecksum(algorithm: Algorithm, text: string): Checksum | string {
  const hex = text.toLowerCase();
  return /^[0-9a-f]+$/.test(hex) && hex.length === digits[algorithm]
    ? { algorithm, hex }
    : `--${algorithm}: ${digits[algorithm]} hexadecimal digits expected, not "${text.slice(0, 140)}"`;
}

/**
 * The checksum that a list gives for a file. Lists are those of GNU's programs (`HEX  FILE`, `HEX *FILE`), of BSD's
 * (`SHA256 (FILE) = HEX`, in a signed text too), or one bare checksum. Two that differ are as bad as none.
 */
export function findChecksum(list: string, algorithm: Algorithm, file: string): Checksum | undefined {
  const found = new Set<string>();
  const lines = list.split(/\r?\n/);
  for (const line of lines) {
    const gnu = /^([0-9A-Fa-f]+) [ *](?:\.\/)?(\S+)$/.exec(line);
    const bsd = /^([A-Z0-9]+) \((\S+)\) = ([0-9A-Fa-f]+)$/.exec(line);
    if (gnu?.[2] === file) found.add((gnu[1] ?? '').toLowerCase());
    if (bsd?.[2] === file && bsd[1]?.toLowerCase() === algorithm) found.add((bsd[3] ?? '').toLowerCase());
  }
  const whole = list.trim();
  if (/^[0-9A-Fa-f]+$/.test(whole)) found.add(whole.toLowerCase());
  const right = [...found].filter((hex) => hex.length === digits[algorithm]);
  const [hex] = right;
  return right.length === 1 && hex !== undefined ? { algorithm, hex } : undefined;
}

export async function checksumOf(
  path: string,
  algorithm: Algorithm,
  options: { readonly signal?: AbortSignal; readonly onBytes?: (bytes: number) => void } = {},
): Promise<Checksum> {
  const hash = createHash(algorithm);
  let bytes = 0;
  const { signal } = options;
  const stream = createReadStream(path, {
    highWaterMark: 1024 ** 2,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const piece of stream as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
    options.onBytes?.(bytes);
  }
  return { algorithm, hex: hash.digest('hex') };
}
