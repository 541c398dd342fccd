/** A definition in the making from a domain of libvirt: what several rules must know of the whole document. */
import type { DefinitionKey } from '../../definition/definition-keys.ts';
import type { Plain } from '../../definition/key-path.ts';
import { MachineDraft } from '../machine-draft.ts';
import { attributeOf, childOf, childrenOf, textOf, type XmlElement, type XmlNode } from '../xml/xml-node.ts';

export type Board = 'pc' | 'q35' | 'microvm' | 'isapc' | 'other';

/** Something that no piece of the document says and that is different all the same. */
export interface Remark {
  readonly line: number;
  readonly subject: string;
  readonly message: string;
}

function boardOf(machine: string): Board {
  if (machine === 'q35' || machine.startsWith('pc-q35')) return 'q35';
  if (machine === 'microvm' || machine === 'isapc') return machine;
  return machine === '' || machine === 'pc' || /^pc-(?:i440fx-|\d)/.test(machine) ? 'pc' : 'other';
}

export class DomainDraft extends MachineDraft<XmlNode> {
  readonly root: XmlElement;
  readonly devices: XmlElement | undefined;
  readonly board: Board;
  /** Keys of our own that an export kept in the metadata; null for keys that are not set. */
  readonly ownKeys: { readonly key: string; readonly value: Plain; readonly node: XmlNode }[] = [];
  readonly remarks: Remark[] = [];
  /** Parts by the order in which the firmware tries them, from `<boot order=…/>`. */
  readonly bootOrder: { readonly order: number; readonly id: string }[] = [];
  /** Kinds of device in the order of `<boot dev=…/>`. */
  readonly bootDevices: string[] = [];

  /** Bridges of networks, where they are known, by the names of the networks. */
  readonly bridges: ReadonlyMap<string, string>;

  constructor(root: XmlElement, keys: readonly DefinitionKey[], bridges: ReadonlyMap<string, string>) {
    super(root, keys);
    this.root = root;
    this.bridges = bridges;
    this.devices = childOf(root, 'devices');
    this.board = boardOf(attributeOf(childOf(root, 'os', 'type'), 'machine') ?? '');
  }

  /** An id from the alias that its user gave, else from the wish. */
  idOf(device: XmlElement, wish: string): string {
    const alias = attributeOf(childOf(device, 'alias'), 'name') ?? '';
    return this.newId(alias.startsWith('ua-') ? alias.slice(3) : wish);
  }

  /** Devices of one kind. */
  devicesOf(name: string): readonly XmlElement[] {
    return childrenOf(this.devices, name);
  }

  controllers(type: string): readonly XmlElement[] {
    return this.devicesOf('controller').filter((one) => attributeOf(one, 'type') === type);
  }

  text(...path: readonly string[]): string {
    return textOf(childOf(this.root, ...path));
  }

  remark(element: XmlElement | undefined, subject: string, message: string): void {
    this.remarks.push({ line: element?.line ?? this.root.line, subject, message });
  }
}
