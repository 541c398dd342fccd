/** The files that a definition names: where each stands in it, what it is for, and whether the machine writes to it. */

/** A host path of the definition, and the widest access that the machine has to it. */
export interface NeededFile {
  readonly path: string;
  readonly access: 'ro' | 'rw';
}

/** A file of the definition, where it stands in it, and what it is for in the words of the definition. */
export interface NamedFile extends NeededFile {
  readonly place: readonly (string | number)[];
  readonly subject: string;
}

/** The parts of a definition that name files; without the schema, which the client's package does not have. */
export interface PartsWithFiles {
  readonly boot: { readonly kernel?: string | undefined; readonly initrd?: string | undefined };
  readonly disks: readonly {
    readonly id: string;
    readonly path: string;
    readonly readonly: boolean;
    readonly backing: readonly { readonly path: string }[];
  }[];
  readonly cdroms: readonly { readonly id: string; readonly path?: string | undefined }[];
  readonly shares?: readonly { readonly path: string; readonly readonly: boolean }[];
  readonly confinement?: {
    readonly files: readonly { readonly path: string; readonly access: NeededFile['access'] }[];
    readonly sockets: readonly (string | { readonly path: string })[];
  };
  readonly sound?: { readonly server?: string | undefined };
}

/** Whether what stands there is a socket that the jail shows, and no file. */
export const isSocketPlace = ([first, second]: NamedFile['place']): boolean =>
  first === 'sound' || second === 'sockets';

/** What the jail shows at its own path: files, directories and sockets; beneath /usr it is the system's, and nobody's to give. */
export function shownFiles({
  confinement,
  sound,
}: Pick<PartsWithFiles, 'confinement' | 'sound'>): readonly NamedFile[] {
  const { files = [], sockets = [] } = confinement ?? {};
  const place = (list: 'files' | 'sockets', index: number): NamedFile['place'] => [
    'confinement',
    list,
    index,
  ];
  return [
    ...files.flatMap(({ path, access }, index): readonly NamedFile[] =>
      path.startsWith('/usr/')
        ? []
        : [{ path, access, place: place('files', index), subject: `file "${path}"` }],
    ),
    ...sockets.map((socket, index): NamedFile => {
      const path = typeof socket === 'string' ? socket : socket.path;
      return { path, access: 'rw', place: place('sockets', index), subject: `socket "${path}"` };
    }),
    ...(sound?.server === undefined
      ? []
      : [{ path: sound.server, access: 'rw', place: ['sound', 'server'], subject: 'sound server' } as const]),
  ];
}

/** Every host path of the definition for which a user's claim may be needed, once, with the widest access. */
export function claimableFiles(parts: PartsWithFiles): readonly NeededFile[] {
  const folders = (parts.shares ?? []).map(({ path, readonly }): NeededFile => ({
    path,
    access: readonly ? 'ro' : 'rw',
  }));
  return widest([...namedFiles(parts), ...shownFiles(parts), ...folders]);
}

/** Every mention of a file in the definition, in its order. */
export function namedFiles({ boot, disks, cdroms }: PartsWithFiles): readonly NamedFile[] {
  const files: NamedFile[] = [];
  const add = (path: string, place: NamedFile['place'], subject: string): void =>
    void files.push({ path, access: 'ro', place, subject });
  if (boot.kernel !== undefined) add(boot.kernel, ['boot', 'kernel'], 'kernel');
  if (boot.initrd !== undefined) add(boot.initrd, ['boot', 'initrd'], 'initial RAM disk');
  for (const [index, disk] of disks.entries()) {
    const subject = `disk "${disk.id}"`;
    const place = ['disks', index] as const;
    files.push({
      path: disk.path,
      access: disk.readonly ? 'ro' : 'rw',
      place: [...place, 'path'],
      subject,
    });
    for (const [depth, image] of disk.backing.entries())
      add(image.path, [...place, 'backing', depth, 'path'], `${subject}, backing image ${depth + 1}`);
  }
  for (const [index, cdrom] of cdroms.entries())
    if (cdrom.path !== undefined) add(cdrom.path, ['cdroms', index, 'path'], `CD-ROM drive "${cdrom.id}"`);
  return files;
}

/** Every image, kernel and RAM disk of the definition once, with the widest access. */
export function filesOf(parts: PartsWithFiles): readonly NeededFile[] {
  return widest(namedFiles(parts));
}

/** Each file once. */
export function widest(files: readonly NeededFile[]): readonly NeededFile[] {
  const access = new Map<string, NeededFile['access']>();
  for (const file of files)
    if (file.access === 'rw' || !access.has(file.path)) access.set(file.path, file.access);
  return [...access].map(([path, mode]) => ({ path, access: mode }));
}
