/** What follows from the document as a whole: the boot order, and what is not there because nothing says it. */
import { childOf } from '../xml/xml-node.ts';
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
  const usual = machine.values['firmware'] === 'uefi' ? 'bochs' : 'vga';
  if (machine.values['vnc'] === true && draft.valueAt(machine, 'video.model') === usual)
    machine.values = without(machine.values, 'video.model');
}

export function finishDomain(draft: DomainDraft): void {
  const { machine } = draft;
  const off = (key: string): void => void draft.set(machine, key, false, draft.devices ?? draft.root);
  if (machine.values['machine'] === undefined && draft.board === 'pc')
    draft.set(machine, 'machine', 'pc', childOf(draft.root, 'os') ?? draft.root);
  if (machine.values['console'] === undefined) off('console');
  if (draft.devicesOf('rng').length === 0) off('rng');
  const controllers = draft.items('scsiControllers');
  if (controllers.length === 1 && Object.keys(controllers[0]?.values ?? {}).length === 0)
    controllers.forEach((part) => draft.drop(part));
  setInputs(draft);
  setVideo(draft);
  setBootOrder(draft);
}
