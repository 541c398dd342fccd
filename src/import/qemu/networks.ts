/** `-netdev`, `-nic` and `-net`: what is at the other end of a card. */
import { leavesOf, valueOf, type Leaf } from '../../plan/passthrough/option-values.ts';
import type { Plain } from '../../definition/key-path.ts';
import type { ForeignDraft, Piece } from '../foreign-draft.ts';
import { changed, imported, unsupported, type Verdict } from '../verdict.ts';
import type { CommandLine } from './import-command-line.ts';
import type { OptionPlace } from './option-rule.ts';

/** `tcp:127.0.0.1:2222-:22` as `tcp 127.0.0.1:2222 -> 22`. */
function forwardOf(text: string): string | undefined {
  const match = /^(tcp|udp)?:([^:]*):(\d+)-[^:]*:(\d+)$/.exec(text);
  if (match === null) return undefined;
  const [, proto = 'tcp', address = '', host = '', guest = ''] = match;
  return `${proto || 'tcp'} ${address === '' ? '' : `${address}:`}${host} -> ${guest}`;
}

interface End {
  readonly values: Readonly<Record<string, Plain>>;
  readonly verdict: Verdict;
}

export const noBridge = 'br0';

function endOf(leaves: readonly Leaf[]): End | string {
  const type = valueOf(leaves, 'type') ?? 'user';
  if (type === 'user') {
    const forwards = leaves.filter(({ key }) => key === 'hostfwd').map(({ text }) => forwardOf(text));
    const known = forwards.filter((one) => one !== undefined);
    const values = { kind: 'user', ...(known.length > 0 ? { forward: known } : {}) };
    const lost = known.length < forwards.length;
    const verdict = lost
      ? unsupported('a forwarded port that is not of the form tcp:ADDRESS:PORT-:PORT')
      : imported;
    return { values, verdict: lost ? verdict : changed('user networking is by passt, in a jail of its own') };
  }
  if (type === 'bridge')
    return { values: { kind: 'bridge', bridge: valueOf(leaves, 'br') ?? noBridge }, verdict: imported };
  if (type === 'tap') {
    const bridge = valueOf(leaves, 'br');
    const verdict =
      bridge === undefined
        ? changed(
            `TAP devices are made by qward, on the bridge ${noBridge}: is it the one that the script joined?`,
          )
        : imported;
    return { values: { kind: 'bridge', bridge: bridge ?? noBridge }, verdict };
  }
  return `no cards of type ${type.slice(0, 30)}; a bridge joins machines`;
}

const models: Readonly<Record<string, string>> = {
  virtio: 'virtio',
  'virtio-net-pci': 'virtio',
  'virtio-net-device': 'virtio',
  e1000: 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
};

export interface NicPlace {
  readonly line: CommandLine;
  readonly draft: ForeignDraft;
  readonly piece: Piece;
  readonly leaves: readonly Leaf[];
  /** Where a device says it; else that of the keys, else the board's. */
  readonly model: string | undefined;
  /** Keys of the device itself. */
  readonly device?: readonly Leaf[];
}

export function addNic({ line, draft, piece, leaves, model, device = leaves }: NicPlace): Verdict {
  line.hasNic = true;
  if (valueOf(leaves, 'type') === 'none') return imported;
  const end = endOf(leaves);
  if (typeof end === 'string') return unsupported(end);
  const id = valueOf(device, 'id') ?? `net${draft.items('nics').length}`;
  const part = draft.nic(piece, id, end.values);
  const mac = valueOf(device, 'mac', 'macaddr');
  if (mac !== undefined) draft.set(part, 'mac', mac.toLowerCase(), piece);
  const order = valueOf(device, 'bootindex');
  const own = part.values['id'];
  if (order !== undefined && typeof own === 'string')
    line.bootIndexes.push({ order: Number(order), id: own });
  const wanted = model ?? valueOf(device, 'model') ?? 'e1000';
  const known = models[wanted];
  if (known !== 'virtio') draft.set(part, 'model', known ?? 'rtl8139', piece);
  return known === undefined
    ? changed(`no ${wanted.slice(0, 30)}: the card is an rtl8139, and the guest needs its driver`)
    : end.verdict;
}

/** The old way: `-net nic` is the card, and the other `-net` what it is joined to. */
export function netOf({ line, draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'type');
  const type = valueOf(leaves, 'type');
  if (type === 'nic') {
    addNic({ line, draft, piece, leaves: [{ key: 'type', text: 'user' }], model: undefined, device: leaves });
    return imported;
  }
  if (type === 'none') {
    line.hasNic = true;
    return imported;
  }
  const end = endOf(leaves);
  if (typeof end === 'string') return unsupported(end);
  const card = draft.items('nics').at(-1);
  if (card === undefined) {
    draft.nic(piece, 'net0', { ...end.values, model: 'e1000' });
    line.hasNic = true;
  } else {
    const { kind: _kind, bridge: _bridge, forward: _forward, ...rest } = card.values;
    card.values = { ...rest, ...end.values };
  }
  return end.verdict;
}
