/** What follows from the document as a whole: the boot order, and what is not there because nothing says it. */
import { isPlainMap, type Plain } from '../../definition/key-path.ts';
import { childOf, type XmlNode } from '../xml/xml-node.ts';
import { without } from '../machine-draft.ts';
import type { DomainDraft } from './domain-draft.ts';
import type { DomainPart } from './rule-table.ts';

const idOf = ({ values: { id } }: DomainPart): string => (typeof id === 'string' ? id : '');

/** Ids in the order in which the firmware of libvirt's QEMU would try them. */
function bootOrder(draft: DomainDraft): readonly string[] {
  if (draft.bootOrder.length > 0)
    return draft.bootOrder.toSorted((a, b) => a.order - b.order).map(({ id }) => id);
  const lists: Readonly<Record<string, string>> = { hd: 'disks', cdrom: 'cdroms', network: 'nics' };
  const kinds = draft.bootDevices.length === 0 ? ['hd'] : draft.bootDevices;
  const first = kinds.flatMap((kind) => draft.items(lists[kind] ?? '').slice(0, 1));
  return [...new Set(first.map(idOf))];
}

function setBootOrder(draft: DomainDraft): void {
  if (draft.board === 'microvm') return;
  const order = bootOrder(draft);
  const usual = [...draft.items('disks'), ...draft.items('cdroms')].map(idOf);
  if (order.length === 0 || order.join(' ') === usual.join(' ')) return;
  draft.set(draft.machine, 'boot.order', order, childOf(draft.root, 'os') ?? draft.root);
}

/** A screen has a USB tablet, where nothing is said of inputs. */
function setInputs(draft: DomainDraft): void {
  const { values } = draft.machine;
  const inputs = draft.items('inputs');
  const usual =
    inputs.length === 1 && inputs[0]?.values['type'] === 'tablet' && inputs[0].values['bus'] === 'usb';
  if (values['vnc'] !== true) return;
  if (usual) inputs.forEach((part) => draft.drop(part));
  else if (inputs.length === 0 && draft.devicesOf('graphics').length > 0 && draft.has('', 'inputs')) {
    const tablet = draft
      .devicesOf('input')
      .some((one) => one.attributes.some(({ value }) => value === 'tablet'));
    if (!tablet) draft.set(draft.machine, 'inputs', [], draft.root);
  }
}

/** The card that a screen has where nothing is said of it. */
function setVideo(draft: DomainDraft): void {
  const { machine } = draft;
  const usual =
    machine.values['vnc'] !== true ? 'none' : machine.values['firmware'] === 'uefi' ? 'bochs' : 'vga';
  if (draft.valueAt(machine, 'video.model') === usual)
    machine.values = without(machine.values, 'video.model');
}

/** A controller where a device needs one, and none where no device does, goes without saying. */
function setUsb(draft: DomainDraft): void {
  const { machine } = draft;
  const onUsb = (list: string): boolean =>
    draft
      .items(list)
      .some(({ values }) => values['bus'] === 'usb' || (list === 'serials' && values['type'] === 'usb'));
  const tablet =
    machine.values['vnc'] === true &&
    machine.values['inputs'] === undefined &&
    draft.items('inputs').length === 0;
  const needed =
    tablet ||
    ['inputs', 'disks', 'cdroms', 'serials'].some(onUsb) ||
    draft.items('hostDevices').some(({ values }) => values['usb'] !== undefined) ||
    draft.valueAt(machine, 'sound.model') === 'usb';
  if (draft.valueAt(machine, 'usb.model') === (needed ? 'xhci' : 'none')) draft.unset(machine, 'usb.model');
}

/** What an export kept of our own is above what libvirt's words say. */
function setOwnKeys(draft: DomainDraft): void {
  for (const { key, value, node } of draft.ownKeys) {
    const [list = '', id, ...rest] = key.split('.');
    const part = id === undefined ? undefined : draft.items(list).find(({ values }) => values['id'] === id);
    if (part !== undefined) setOwn(draft, { part, key: rest.join('.'), value, node });
    else if (Array.isArray(value) && draft.items(list).length > 0 && id === undefined)
      replaceList(draft, list, value, node);
    else setOwn(draft, { part: draft.machine, key, value, node });
  }
}

function setOwn(
  draft: DomainDraft,
  { part, key, value, node }: { part: DomainPart; key: string; value: Plain; node: XmlNode },
): void {
  if (value === null) draft.unset(part, key);
  else draft.set(part, key, value, node);
}

/** An order that libvirt does not keep, as ids. */
function reorder(draft: DomainDraft, list: string, ids: readonly Plain[]): void {
  const place = (part: DomainPart): number => ids.indexOf(idOf(part));
  const sorted = draft.items(list).toSorted((a, b) => place(a) - place(b));
  draft.parts.splice(0, draft.parts.length, ...draft.parts.filter((part) => part.list !== list), ...sorted);
}

function replaceList(draft: DomainDraft, list: string, items: readonly Plain[], node: XmlNode): void {
  if (items.every((item) => typeof item === 'string')) return reorder(draft, list, items);
  for (const part of draft.items(list)) draft.drop(part);
  for (const item of items) if (isPlainMap(item)) draft.begin(list, node, item);
}

export function finishDomain(draft: DomainDraft): void {
  const { machine } = draft;
  const off = (key: string): void => void draft.set(machine, key, false, draft.devices ?? draft.root);
  if (machine.values['machine'] === undefined && draft.board !== 'q35')
    draft.set(machine, 'machine', 'pc', childOf(draft.root, 'os') ?? draft.root);
  if (machine.values['console'] === undefined) off('console');
  if (draft.devicesOf('rng').length === 0) off('rng');
  const controllers = draft.items('scsiControllers');
  if (controllers.length === 1 && Object.keys(controllers[0]?.values ?? {}).length === 0)
    controllers.forEach((part) => draft.drop(part));
  setInputs(draft);
  setVideo(draft);
  setUsb(draft);
  setBootOrder(draft);
  setOwnKeys(draft);
}
