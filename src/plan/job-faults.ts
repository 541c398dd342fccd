/** Whether images may go into a job: what their first bytes say against what the caller says. Pure. */
import type { Fault } from '../definition/fault.ts';
import type { JobFile, JobImage } from './disk-job.ts';
import type { ImageHeader } from './launch-plan.ts';
import { quoted, withinRaw } from './image-faults.ts';

export type Headers = (path: string) => ImageHeader | undefined;

/** SECURITY: rule images. The caller's word for the format counts, and where the header says another nothing is done. */
export function formatFaults(file: JobFile, header: ImageHeader): readonly Fault[] {
  if (file.format === 'raw' ? withinRaw.has(header.format) : header.format === file.format) return [];
  // The fixed kind of VHD has its header at its end.
  if (file.format === 'vpc' && header.format === 'raw') return [];
  const found = header.format === 'raw' ? 'has no header of a known format' : `is ${header.format}`;
  return [
    {
      code: 'image-format',
      message: `"${file.path}" ${found}, and not ${file.format} as was said`,
      hint:
        file.format === 'raw'
          ? 'if a guest with a raw disk wrote this header, clear the first sector; else say the format that it has'
          : 'say the format that it has: it is never guessed',
    },
  ];
}

/** Each image of a chain has below it what the caller says, or nothing: what a header names is never opened. */
export function chainFaults({ backing, ...image }: JobImage, headers: Headers): readonly Fault[] {
  const chain: readonly JobFile[] = [image, ...backing];
  return chain.flatMap((file, depth) => {
    const header = headers(file.path);
    if (header === undefined) return [];
    const format = formatFaults(file, header);
    if (format.length > 0) return format;
    const references = file.format === 'raw' ? [] : header.references;
    const below = references.find(({ kind }) => kind === 'backing file');
    const next = chain[depth + 1];
    return [
      ...outsideFaults(file, references),
      ...(below !== undefined && next === undefined ? [notListed(file, below.name)] : []),
      ...(below === undefined && next !== undefined ? [notThere(file, next)] : []),
    ];
  });
}

type References = ImageHeader['references'];

/** For images that stand alone, such as those to be imported: no other file at all. */
export function aloneFaults(file: JobFile, header: ImageHeader): readonly Fault[] {
  const format = formatFaults(file, header);
  if (format.length > 0 || file.format === 'raw') return format;
  const below = header.references.find(({ kind }) => kind === 'backing file');
  return [
    ...outsideFaults(file, header.references),
    ...(below === undefined ? [] : [notListed(file, below.name)]),
  ];
}

/** Data in other files is refused in every job. */
export function outsideFaults({ path }: JobFile, references: References): readonly Fault[] {
  const outside = references.find(({ kind }) => kind !== 'backing file');
  if (outside === undefined) return [];
  const name = outside.name === '' ? '' : `, ${quoted(outside.name)}`;
  return [
    {
      code: 'image-references',
      message: `"${path}" keeps its data in another file${name}, which qward never opens`,
      hint: 'join them into one image where it was made',
    },
  ];
}

function notListed({ path }: JobFile, name: string): Fault {
  return {
    code: 'image-references',
    message: `"${path}" has a backing file${name === '' ? '' : `, ${quoted(name)}`}, and none was given`,
    hint: 'give the file that lies below with --backing FILE, if it is yours to give; what a header names is never opened',
  };
}

function notThere({ path }: JobFile, next: JobFile): Fault {
  return {
    code: 'image-references',
    message: `"${path}" has no backing file, and "${next.path}" was given as one`,
    hint: 'leave it out: data of another disk would come into the image',
  };
}

/** SECURITY: rule images. A header may claim any size; what is made of it fills file systems and memory. */
export function sizeFaults(path: string, virtualSize: number, ceiling: number): readonly Fault[] {
  if (virtualSize <= ceiling) return [];
  return [
    {
      code: 'policy-refused',
      message: `"${path}": a size of ${virtualSize} bytes is above the ceiling of ${ceiling}`,
      hint: 'raise ceilings.fileSize in /etc/qward/policy.json, if the image is in order',
      rule: 'ceilings.fileSize',
    },
  ];
}
