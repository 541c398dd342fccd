/** Ids, tags and MAC addresses: each once, and the boot order names what there is. */
import type { Draft } from './draft.ts';
import type { KeyPath } from './key-path.ts';
import { broken, type Broken } from './rule.ts';
import { nearest } from './suggest.ts';

interface Named {
  readonly name: string;
  readonly path: KeyPath;
}

/** Each that has a name that another has already, with the first of that name. */
function repeated<T extends Named>(all: readonly T[]): readonly { readonly again: T; readonly first: T }[] {
  const seen = new Map<string, T>();
  return all.flatMap((entry) => {
    const first = seen.get(entry.name);
    if (first === undefined) seen.set(entry.name, entry);
    return first === undefined ? [] : [{ again: entry, first }];
  });
}

export function idsAreUnique(draft: Draft): readonly Broken[] {
  return repeated(draft.ids.map((part) => ({ ...part, name: part.id }))).map(({ again, first }) => {
    const owner = again.kind === first.kind ? `another ${first.kind}` : `a ${first.kind}`;
    return broken(
      again.path,
      `"${again.id}" is the id of ${owner} already`,
      'Disks, CD-ROM drives, network cards, serial ports and channels need ids of their own.',
    );
  });
}

export function macsAreUnique(draft: Draft): readonly Broken[] {
  const macs = draft.nics.flatMap(({ path, value }) =>
    value.mac === undefined ? [] : [{ name: value.mac, path: [...path, 'mac'], owner: value.id }],
  );
  return repeated(macs).map(({ again, first }) =>
    broken(
      again.path,
      `${again.name} is the address of the network card "${first.owner}" already`,
      'Leave one out: qward then makes an address of its own.',
    ),
  );
}

/** passt 2023 takes a port once, whatever the address. */
export function forwardedPortsAreUnique(draft: Draft): readonly Broken[] {
  const ports = draft.nics.flatMap(({ path, value }) =>
    value.kind !== 'user'
      ? []
      : value.forward.map(({ protocol, port }, index) => ({
          name: `${protocol} port ${port}`,
          path: [...path, 'forward', index],
          owner: value.id,
        })),
  );
  return repeated(ports).map(({ again, first }) =>
    broken(
      again.path,
      `${again.name} of the host leads to network card "${first.owner}" already`,
      'A port can be forwarded once, on one address: take another, or 0.0.0.0 for every IPv4 address.',
    ),
  );
}

export function listsHaveNothingTwice(draft: Draft): readonly Broken[] {
  const lists = [
    { key: ['tags'], values: draft.tags ?? [] },
    { key: ['boot', 'order'], values: draft.boot?.order ?? [] },
    { key: ['autostart', 'after'], values: draft.autostart?.after ?? [] },
  ];
  return lists.flatMap(({ key, values }) =>
    repeated(values.map((name, index) => ({ name, path: [...key, index] }))).map(({ again }) =>
      broken(again.path, `"${again.name}" is in the list already`, 'Remove one of the two.'),
    ),
  );
}

export function bootOrderNamesParts(draft: Draft): readonly Broken[] {
  // A part whose id could not be read may be the one that is meant.
  if (!draft.allIdsKnown) return [];
  const ids = draft.ids
    .filter(({ kind }) => !['serial port', 'channel', 'device of the host'].includes(kind))
    .map(({ id }) => id);
  return (draft.boot?.order ?? []).flatMap((id, index) => {
    if (ids.includes(id)) return [];
    const near = nearest(id, ids);
    const there = ids.length === 0 ? 'This machine has none at all.' : `There are ${ids.join(', ')}.`;
    return [
      broken(
        ['boot', 'order', index],
        `there is no disk, CD-ROM drive or network card "${id}"`,
        near === undefined ? there : `Did you mean "${near}"?`,
      ),
    ];
  });
}
