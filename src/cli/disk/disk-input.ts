/** What the words of `qward disk` mean: files with their formats, chains, sizes. Pure but for the working directory. */
import { resolve } from 'node:path';
import { parseByteSize } from '../../definition/byte-size.ts';

/** A usage fault, in a line. */
export class DiskUsage extends Error {}

export interface Layer<Format extends string> {
  readonly path: string;
  readonly format: Format;
}

export const imageFormats = ['raw', 'qcow2'] as const;
export type ImageFormat = (typeof imageFormats)[number];
export const sourceFormats = [...imageFormats, 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed'] as const;
export type SourceFormat = (typeof sourceFormats)[number];

const formatsBySuffix: Readonly<Record<string, SourceFormat>> = {
  raw: 'raw',
  img: 'raw',
  iso: 'raw',
  qcow2: 'qcow2',
  vmdk: 'vmdk',
  vdi: 'vdi',
  vhdx: 'vhdx',
  vhd: 'vpc',
  vpc: 'vpc',
  qed: 'qed',
};

/** The format that the user said, or that the name which the user typed says: never what the file says of itself. */
export function formatOf<Format extends string>(
  path: string,
  said: string | undefined,
  known: readonly Format[],
): Format {
  const suffix = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const format = said ?? (Object.hasOwn(formatsBySuffix, suffix) ? formatsBySuffix[suffix] : undefined);
  const found = known.find((one) => one === format);
  if (found !== undefined) return found;
  const expected = known.join(', ');
  throw new DiskUsage(
    format === undefined
      ? `the name "${path}" does not tell a format: say which with --format (${expected})`
      : `"${path}": ${expected} expected, not ${format}`,
  );
}

/** `FILE` or `FILE:FORMAT`, from the nearest to the farthest. */
export function layersOf(words: readonly string[]): Layer<ImageFormat>[] {
  return words.map((word) => {
    const split = /^(.+):(raw|qcow2)$/.exec(word);
    const path = resolve(split?.[1] ?? word);
    return { path, format: formatOf(path, split?.[2], imageFormats) };
  });
}

/** Bytes; `+10GiB` beside what there is. */
export function sizeOf(text: string): { readonly bytes: number; readonly more: boolean } {
  const more = text.startsWith('+');
  const bytes = parseByteSize(more ? text.slice(1) : text);
  if (bytes === undefined) throw new DiskUsage(`a size such as 20GiB or 512MiB is expected, not "${text}"`);
  return { bytes, more };
}
