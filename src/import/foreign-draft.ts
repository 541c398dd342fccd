/** A definition in the making from keys or arguments, each with its place, and the account of them. */
import { hostUsb, noLastingUsb } from './host-usb.ts';
import { definitionKeys, type DefinitionKey } from '../definition/definition-keys.ts';
import type { Plain } from '../definition/key-path.ts';
import { accountOf, type Account, type Entry, type ImportFault } from './account.ts';
import { definitionText } from './definition-text.ts';
import { isHostPath } from './host-path.ts';
import { MachineDraft, type Part } from './machine-draft.ts';
import { machineNameOf } from './machine-name.ts';
import { settle } from './settle.ts';
import { changed, imported, unsupported, type Verdict } from './verdict.ts';

/** One key or argument of a foreign document. */
export interface Piece {
  readonly subject: string;
  /** Line of a file, or number of an argument. */
  readonly line: number;
}

export type ForeignImport =
  | { readonly ok: true; readonly name: string; readonly source: string; readonly account: Account }
  | { readonly ok: false; readonly faults: readonly ImportFault[] };

export interface DriveWish {
  readonly wish: string;
  readonly path: string | undefined;
  /** Undefined: not said. */
  readonly format?: string | undefined;
  readonly cdrom?: boolean;
  readonly bus?: string;
  readonly readonly?: boolean;
  readonly cache?: string | undefined;
  readonly discard?: string | undefined;
  readonly serial?: string | undefined;
}

export class ForeignDraft extends MachineDraft<Piece> {
  readonly keys: readonly DefinitionKey[];
  readonly #verdicts = new Map<Piece, Verdict[]>();
  readonly #cwd: string;

  /** `cwd`: where relative paths of the document begin. */
  constructor(cwd: string, keys = definitionKeys()) {
    super({ subject: 'machine', line: 1 }, keys);
    this.keys = keys;
    this.#cwd = cwd;
  }

  /** A piece may have several verdicts: the worst is its own, and each note is said. */
  judge(piece: Piece, verdict: Verdict): void {
    this.#verdicts.set(piece, [...(this.#verdicts.get(piece) ?? []), verdict]);
  }

  put(piece: Piece, key: string, value: Plain): Verdict {
    return this.set(this.machine, key, value, piece);
  }

  name(piece: Piece, foreign: string): Verdict {
    const own = machineNameOf(foreign);
    if (own === undefined) return unsupported('no name; give one with --name');
    this.put(piece, 'name', own);
    return own === foreign ? imported : changed(`"${foreign.slice(0, 80)}" is called "${own}" here`);
  }

  /** An absolute path in normal form. */
  path(text: string): string | undefined {
    const whole = text.startsWith('/') ? text : `${this.#cwd}/${text}`;
    const parts: string[] = [];
    for (const part of whole.split('/'))
      if (part === '..') parts.pop();
      else if (part !== '' && part !== '.') parts.push(part);
    const path = `/${parts.join('/')}`;
    return isHostPath(path) ? path : undefined;
  }

  /** A disk or CD-ROM drive. */
  drive(piece: Piece, wanted: DriveWish): Verdict {
    const path = wanted.path === undefined || wanted.path === '' ? undefined : this.path(wanted.path);
    const id = this.newId(wanted.wish);
    const usual = this.valueAt(this.machine, 'machine') === 'pc' ? 'ide' : 'sata';
    if (wanted.cdrom === true) {
      const part = this.begin('cdroms', piece, { id, ...(path === undefined ? {} : { path }) });
      if (wanted.bus !== undefined && wanted.bus !== usual) this.set(part, 'bus', wanted.bus, piece);
      return imported;
    }
    if (path === undefined || /^(?:nbd|rbd|https?|iscsi|ssh|gluster|json|fat|fd):/.test(wanted.path ?? ''))
      return unsupported('a disk is an image or block device of this host');
    const byName = path.endsWith('.qcow2') ? 'qcow2' : 'raw';
    const format = wanted.format ?? byName;
    if (format !== 'raw' && format !== 'qcow2')
      return unsupported(`no images of the format ${format}; qward disk import makes a qcow2 of it`);
    const q35 = this.valueAt(this.machine, 'machine') !== 'pc';
    const bus = wanted.bus === 'ide' && q35 ? 'sata' : (wanted.bus ?? 'virtio');
    const part = this.begin('disks', piece, { id, path, format });
    if (bus !== 'virtio') this.set(part, 'bus', bus, piece);
    if (wanted.readonly === true) this.set(part, 'readonly', true, piece);
    const cache = {
      none: 'none',
      writeback: 'writeback',
      writethrough: 'writethrough',
      unsafe: 'unsafe',
      directsync: 'none',
    }[wanted.cache ?? 'writeback'];
    if (cache !== undefined && cache !== 'writeback') this.set(part, 'cache', cache, piece);
    if (wanted.discard === 'ignore') this.set(part, 'discard', 'ignore', piece);
    if (wanted.serial !== undefined) this.judge(piece, this.set(part, 'serial', wanted.serial, piece));
    if (wanted.format === undefined)
      return changed(`no format is said: ${format} by the name; qward explain looks at the header`);
    return imported;
  }

  /** A PCI device of the host, by `65:00.0` with or without its domain. */
  hostDevice(piece: Piece, address: string): Verdict {
    const [, domain = '0000', rest = ''] =
      /^([0-9a-f]{4}:)?([0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/.exec(address.toLowerCase()) ?? [];
    if (rest === '') return unsupported('no address of a PCI device');
    const pci = `${domain.replace(':', '')}:${rest}`;
    this.begin('hostDevices', piece, { id: this.newId(`host${this.items('hostDevices').length}`), pci });
    return imported;
  }

  /** A USB device of the host; by bus and number of the device it is another one after each time that it is plugged in. */
  usbDevice(
    piece: Piece,
    by: {
      readonly vendor?: string | undefined;
      readonly product?: string | undefined;
      readonly bus?: string | undefined;
      readonly port?: string | undefined;
    },
  ): Verdict {
    const usb = hostUsb(by);
    if (usb === undefined) return unsupported(noLastingUsb);
    this.begin('hostDevices', piece, { id: this.newId(`host${this.items('hostDevices').length}`), usb });
    return imported;
  }

  nic(piece: Piece, wish: string, values: Readonly<Record<string, Plain>>): Part<Piece> {
    return this.begin('nics', piece, { id: this.newId(wish), ...values });
  }

  finish(called?: string): ForeignImport {
    const top = this.machine.source;
    if (called !== undefined) this.put(top, 'name', called);
    const { left, faults } = settle(this);
    for (const { source, message } of left) this.judge(source, unsupported(message));
    if (faults.length > 0)
      return {
        ok: false,
        faults: faults.map(({ path, message, hint }) => ({
          message: `${path.join('.')}: ${message}`,
          hint: path[0] === 'name' ? 'Give one with --name.' : hint,
        })),
      };
    const { name } = this.machine.values;
    return {
      ok: true,
      name: typeof name === 'string' ? name : '',
      source: definitionText(this.value(), this.keys),
      account: accountOf([...this.#verdicts].flatMap(([piece, verdicts]) => entriesOf(piece, verdicts))),
    };
  }
}

const badness = { imported: 0, changed: 1, unsupported: 2 } as const;

/** One entry that counts, and each further note. */
function entriesOf({ subject, line }: Piece, verdicts: readonly Verdict[]): readonly Entry[] {
  const sorted = verdicts.toSorted((a, b) => badness[b.is] - badness[a.is]);
  const said = sorted.filter((verdict, index) => index === 0 || verdict.is !== 'imported');
  return said.map((verdict, index) => ({ verdict, subject, line, alone: true, uncounted: index > 0 }));
}
