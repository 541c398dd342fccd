/** Faults of the files that a definition names: not there, another format than declared, references it does not list. */
import type { Fault } from '../definition/fault.ts';
import { namedFiles, type NamedFile } from '../definition/named-files.ts';
import type { DiskDefinition, MachineDefinition } from '../definition/schema.ts';
import { variableStorePath } from './boot.ts';
import { snapshotFaults } from './image-snapshots.ts';
import type { FileFacts, HostFacts, ImageHeader } from './launch-plan.ts';

type Files = HostFacts['files'];
type Place = readonly (string | number)[];
type Format = 'raw' | 'qcow2';

/** Headers that a guest's own disk may well begin with: its encryption, its CD file system. */
export const withinRaw: ReadonlySet<ImageHeader['format']> = new Set(['raw', 'luks', 'iso']);

/** Names from headers are a stranger's text: quoted, and cut. */
export const quoted = (name: string): string =>
  JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);

function factsOf(files: Files, path: string): FileFacts | undefined {
  return Object.hasOwn(files, path) ? files[path] : undefined;
}

/** A file that could not be looked at: the broker's own words, with the place in the definition. */
function fileFault(file: NamedFile, facts: FileFacts | undefined): Fault | null {
  if (facts?.ok === true) return null;
  const fault = facts?.fault ?? {
    code: 'file-missing',
    message: `"${file.path}" was not looked at`,
    hint: 'Try again; if it stays, report it: the manager asks for every file before it plans.',
  };
  return { ...fault, message: `${file.subject}: ${fault.message}`, path: file.place };
}

/** Holds a declared format against the header. SECURITY: rule images. The declaration decides, and a mismatch is refused. */
function formatFault(
  subject: string,
  image: { readonly path: string; readonly format: Format; readonly place: Place },
  header: ImageHeader,
): Fault | null {
  if (image.format === 'raw' ? withinRaw.has(header.format) : header.format === 'qcow2') return null;
  const found = header.format === 'raw' ? 'has no header of a known format' : `is ${header.format}`;
  const cure =
    header.format === 'qcow2'
      ? 'Write `format: qcow2` if you made it so. If a guest with a raw disk wrote this header, leave it `raw` and clear the first sector: qward never guesses a format.'
      : header.format === 'raw' || header.format === 'luks' || header.format === 'iso'
        ? 'Write `format: raw` if that is what it is: qward never guesses a format.'
        : 'qward runs raw and qcow2 images: `qward disk import FILE TARGET.qcow2` makes one of it, in a jail, and refuses what refers to other files.';
  return {
    code: 'image-format',
    message: `${subject}: "${image.path}" ${found}, and the definition says ${image.format}`,
    hint: cure,
    path: image.place,
  };
}

interface ChainLink {
  readonly path: string;
  readonly format: Format;
  readonly place: Place;
  readonly subject: string;
}

/** What a header says of the image itself. */
function imageFaults(image: ChainLink, header: ImageHeader): readonly Fault[] {
  const fault = formatFault(image.subject, image, header);
  if (fault !== null) return [fault];
  return snapshotFaults(image.path, header).map((one) => ({
    ...one,
    message: `${image.subject}: ${one.message}`,
    path: image.place,
  }));
}

function chainOf(disk: DiskDefinition, index: number): readonly ChainLink[] {
  const subject = `disk "${disk.id}"`;
  const place = ['disks', index] as const;
  return [
    { path: disk.path, format: disk.format, place: [...place, 'format'], subject },
    ...disk.backing.map((image, depth) => ({
      path: image.path,
      format: image.format,
      place: [...place, 'backing', depth, 'format'],
      subject: `${subject}, backing image ${depth + 1}`,
    })),
  ];
}

/** Holds what a header refers to against the next image of the chain. */
function referenceFaults(
  disk: { readonly place: Place; readonly subject: string },
  link: ChainLink,
  header: ImageHeader,
  next: ChainLink | undefined,
): readonly Fault[] {
  const faults: Fault[] = [];
  const place = [...disk.place, 'backing'];
  const dataFile = header.references.find((reference) => reference.kind === 'data file');
  if (dataFile !== undefined)
    faults.push({
      code: 'image-references',
      message: `${link.subject}: "${link.path}" keeps its data in another file, ${quoted(dataFile.name)}, which qward never opens`,
      hint: 'If you made it so, make it one file where you made it. Else leave it alone: to join them would put the content of any file that it names into the image.',
      path: link.place,
    });
  const backing = header.references.find((reference) => reference.kind === 'backing file');
  if (backing !== undefined && next === undefined)
    faults.push({
      code: 'image-references',
      message: `${link.subject}: "${link.path}" has a backing file, ${quoted(backing.name)}, and the definition lists none below it`,
      hint: `List it, with its path and format, in \`backing\` of ${disk.subject}; or join the two: \`qward disk rebase ${link.path} --backing FILE\`. If you did not make it so, do neither: it may name any file.`,
      path: place,
    });
  if (backing === undefined && next !== undefined)
    faults.push({
      code: 'image-references',
      message: `${link.subject}: "${link.path}" has no backing file, and the definition lists "${next.path}" below it`,
      hint: `Take it out of \`backing\` of ${disk.subject}: the guest would see data of another disk.`,
      path: place,
    });
  return faults;
}

function diskFaults(disk: DiskDefinition, index: number, files: Files): readonly Fault[] {
  const chain = chainOf(disk, index);
  return chain.flatMap((link, depth) => {
    const facts = factsOf(files, link.path);
    if (facts?.ok !== true) return [];
    if (disk.rawio && facts.blockDevice !== true)
      return [
        {
          code: 'file-kind',
          message: `disk "${disk.id}": "${disk.path}" is a file, and raw commands need a block device`,
          hint: 'Name a block device that the policy lists with rawio: true, or leave rawio out.',
          path: ['disks', index, 'rawio'],
        },
      ];
    const faults = imageFaults(link, facts.image);
    // A header of another format says nothing about the chain; a raw image has no header at all.
    if (faults.length > 0) return faults;
    const header = link.format === 'raw' ? { ...facts.image, references: [] } : facts.image;
    return referenceFaults(
      { place: ['disks', index], subject: `disk "${disk.id}"` },
      link,
      header,
      chain[depth + 1],
    );
  });
}

export function fileFaults(definition: MachineDefinition, facts: HostFacts): readonly Fault[] {
  const { files } = facts;
  const faults = namedFiles(definition).map((file) => fileFault(file, factsOf(files, file.path)));
  const disks = definition.disks.flatMap((disk, index) => diskFaults(disk, index, files));
  const cdroms = definition.cdroms.map((cdrom, index) => {
    const file = cdrom.path === undefined ? undefined : factsOf(files, cdrom.path);
    if (cdrom.path === undefined || file?.ok !== true) return null;
    const image = { path: cdrom.path, format: 'raw', place: ['cdroms', index, 'path'] } as const;
    return formatFault(`CD-ROM drive "${cdrom.id}"`, image, file.image);
  });
  return [...faults, ...disks, ...cdroms, ...variableStoreFaults(definition, facts)].filter(
    (fault) => fault !== null,
  );
}

/** Not there yet is no fault: the manager makes it at the start. */
function variableStoreFaults(definition: MachineDefinition, facts: HostFacts): readonly Fault[] {
  if (definition.firmware !== 'uefi') return [];
  const path = variableStorePath(facts.varsDirectory, definition);
  const file = factsOf(facts.files, path);
  const [subject, place] = ['UEFI variables', ['firmware']];
  if (file === undefined) return [];
  if (!file.ok) return [{ ...file.fault, message: `${subject}: ${file.fault.message}`, path: place }];
  return imageFaults({ path, format: 'qcow2', place, subject }, file.image);
}

/** A chain as the definition has it may name other files than the headers do; that is allowed, and said. */
export function chainNotes(definition: MachineDefinition, files: Files): readonly string[] {
  return definition.disks.flatMap((disk, index) =>
    chainOf(disk, index).flatMap((link, depth, chain) => {
      const facts = factsOf(files, link.path);
      const next = chain[depth + 1];
      if (facts?.ok !== true || next === undefined) return [];
      const named = facts.image.references.find((reference) => reference.kind === 'backing file')?.name;
      if (named === undefined || named.split('/').at(-1) === next.path.split('/').at(-1)) return [];
      return [
        `${link.subject}: the image names ${quoted(named)} as its backing file; "${next.path}" is taken, as the definition says`,
      ];
    }),
  );
}
