import type { CallInput, CallResult } from '../../api/calls.ts';
import { parseByteSize } from '../../definition/byte-size.ts';
import { changeDevice } from '../change-device.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { renderTable, type Column } from '../render/table.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { parseChange } from './set.ts';

type Disk = CallResult<'devices'>['disks'][number];
type Card = CallResult<'devices'>['cards'][number];
type Usb = CallResult<'devices'>['usb'][number];
type Keys = { [key: string]: string | number | boolean | Keys };

const columns: readonly Column<Disk>[] = [
  { title: 'DISK', cell: ({ id }) => id },
  { title: 'PLACE', cell: ({ bus }) => bus },
  { title: 'SINCE', cell: ({ attached }) => (attached ? 'attached' : 'start') },
  { title: 'DETACH', cell: ({ detachable }) => (detachable ? 'yes' : 'when stopped') },
  {
    title: 'IMAGE',
    cell: ({ files }) => files.find(({ access }) => access === 'rw')?.path ?? files[0]?.path ?? '',
    fold: true,
  },
];

const cardColumns: readonly Column<Card>[] = [
  { title: 'CARD', cell: ({ id }) => id },
  { title: 'PLACE', cell: ({ bus }) => bus },
  { title: 'BRIDGE OR NETWORK', cell: ({ bridge, network }) => bridge || network },
];

const usbColumns: readonly Column<Usb>[] = [
  { title: 'USB', cell: ({ id }) => id },
  { title: 'DEVICE', cell: ({ device }) => device },
  { title: 'PLUGGED', cell: ({ plugged }) => (plugged ? 'yes' : 'not there') },
];

type More = Pick<CallResult<'devices'>, 'cpus' | 'memory'>;

/** What came since the start, and the room for more; nothing of a machine that has neither. */
function moreOf({ cpus, memory }: More): string {
  const room = (now: number | string, most: number | string): string =>
    now === most ? String(now) : `${now} of ${most}`;
  const modules = memory.modules.map(({ id, size }) => `${id} (${formatBytes(size)})`);
  const lines = [
    ...(cpus.most === cpus.now && cpus.attached.length === 0
      ? []
      : [['CPUs', room(cpus.now, cpus.most), ...cpus.attached]]),
    ...(memory.slots.all === 0
      ? []
      : [['memory', room(formatBytes(memory.now), formatBytes(memory.most)), ...modules]]),
  ];
  return lines.map(([what, has, ...attached]) => `${what}: ${[has, ...attached].join(', ')}\n`).join('');
}

async function show(context: Context, name: string): Promise<CommandResult> {
  const reply = await withNearestName(context, name, await context.client.call('devices', { name }));
  return fromReply(reply, ({ disks, cards, usb, ports, cpus, memory }, style) => {
    const room = ports.all === 0 ? '' : `${ports.free} of ${ports.all} ports free\n`;
    return [
      disks.length === 0 ? `${escapeLine(name)} has no disks.\n` : renderTable(disks, columns, style),
      ...(cards.length === 0 ? [] : ['\n', renderTable(cards, cardColumns, style)]),
      ...(usb.length === 0 ? [] : ['\n', renderTable(usb, usbColumns, style)]),
      room,
      moreOf({ cpus, memory }),
    ].join('');
  });
}

/** Texts of digits alone that are none the less texts. */
const texts = new Set(['serial', 'wwn', 'vendor', 'product']);

/** `limits.iops=100` is a key within a key, as in `qward set`. */
function place(keys: Keys, key: string, text: string): void {
  const [first = '', ...rest] = key.split('.');
  if (rest.length > 0) {
    const inner = keys[first];
    const group: Keys = typeof inner === 'object' ? inner : {};
    keys[first] = group;
    place(group, rest.join('.'), text);
  } else if (text === 'true' || text === 'false') keys[first] = text === 'true';
  else keys[first] = /^\d{1,15}$/.test(text) && !texts.has(first) ? Number(text) : text;
}

/** By its name alone: what an image holds is the guest's to write. */
export function formatByName(path: string): 'qcow2' | 'raw' | undefined {
  if (path.endsWith('.qcow2')) return 'qcow2';
  return /\.(?:raw|img|iso)$|^\/dev\//.test(path) ? 'raw' : undefined;
}

const counted = (count: number): string => `${count} ${count === 1 ? 'CPU is' : 'CPUs are'}`;

async function attachDevice(context: Context, input: CallInput<'attach'>): Promise<CommandResult> {
  const { name, disk, nic, usb, cpus, memory = 0, persist } = input;
  const id = disk?.id ?? nic?.id ?? usb?.id;
  const size = cpus === undefined ? `${formatBytes(memory)} of memory is` : counted(cpus);
  const until = persist === true ? 'for good' : 'until the machine stops';
  return await changeDevice(context, name, {
    doing: `attaching ${id ?? (cpus === undefined ? 'memory' : 'CPUs')} to ${name}`,
    done: `${id === undefined ? size : `${id} is`} attached, ${until}`,
    call: () => context.client.call('attach', input),
    withFiles: (files) => files.attach(input),
  });
}

/** `cpus 2`, `memory 512MiB`; undefined: it is no such number or size. */
function sizeAsked(kind: 'cpus' | 'memory', text: string): { cpus: number } | { memory: number } | undefined {
  if (kind === 'cpus') return /^[1-9]\d{0,2}$/.test(text) ? { cpus: Number(text) } : undefined;
  const memory = parseByteSize(text);
  return memory === undefined ? undefined : { memory };
}

const kinds = ['disk', 'nic', 'usb', 'cpus', 'memory'] as const;
const isKind = (kind: string): kind is (typeof kinds)[number] => kinds.some((one) => one === kind);

/** By what it is on the host; or by the id under which it stands in the definition. */
const usbAsked = (device: string): { id: string; usb?: string } =>
  /^[0-9a-f]{4}:|^\d+-/.test(device)
    ? { id: `usb-${device.replaceAll(/[^0-9a-f]/g, '-')}`.slice(0, 31), usb: device }
    : { id: device };

export const attach = defineCommand({
  name: 'attach',
  summary: 'Show what a running machine has; give it disks, cards, USB, CPUs, RAM.',
  details:
    'Without more than NAME shows the disks and the room for more. A disk is planned and opened as for a start, with the same rights\n' +
    'and claims, and QEMU gets its descriptors; the walls are looked at afterwards. `virtio` needs a free port on q35 (`hotplug.ports`),\n' +
    '`scsi` a controller (`scsiControllers`). A card on a bridge that the policy lists, or with `kind=network` in a managed network, needs a port as well. ID alone attaches a disk that stands in the definition and was detached.\n' +
    'A USB device of the host goes by vendor and product or by its port, needs its line of the policy, and a machine that was started with `hotplug.usb` or another one.\n' +
    'CPUs need room by `cpu.maximum`, memory by `memoryMaximum` and `memorySlots`; the guest takes them into use by itself or is told to.',
  arguments: {
    NAME: oneMachine,
    KIND: { help: '`disk`, `nic`, `usb`, `cpus` or `memory`.', complete: 'none', optional: true },
    ID: {
      help: 'Its name within the machine; of a USB device `046d:c52b` or its port `1-4.2`; of CPUs how many, of memory how much.',
      complete: 'none',
      optional: true,
    },
    FILE: {
      help: 'Image of the disk; of a card, the bridge of the host or the managed network.',
      complete: 'file',
      optional: true,
    },
    KEY: {
      help: 'KEY=VALUE, as in `disks` or `nics` of a definition: format=qcow2, bus=scsi, readonly=true.',
      complete: 'none',
      repeated: true,
      optional: true,
    },
  },
  options: { persist: { kind: 'flag', short: 'p', help: 'Write it into the definition too.' } },
  examples: [
    { line: 'qward attach web', meaning: 'the disks, and the free ports' },
    { line: 'qward attach web disk data ~/data.qcow2', meaning: 'one more disk' },
    { line: 'qward attach web cpus 2', meaning: 'two more virtual CPUs' },
    { line: 'qward attach web memory 1GiB --persist', meaning: 'more memory, for good' },
    { line: 'qward attach web usb 046d:c52b', meaning: 'a USB device of the host' },
    { line: 'qward attach web nic lan br0', meaning: 'a card on a bridge' },
    { line: 'qward attach web nic more lan kind=network', meaning: 'a card in a managed network' },
    {
      line: 'qward attach web disk data ~/data.raw bus=scsi limits.iops=500 --persist',
      meaning: 'on SCSI, with a limit, for good',
    },
  ],
  async run(context, { arguments: { NAME: name, KIND: kind, ID: id, FILE: file, KEY: words }, options }) {
    const { persist } = options;
    if (kind === undefined)
      return persist ? usage('attach: what? Give `disk ID FILE`') : await show(context, name);
    if (!isKind(kind))
      return usage(
        `attach: "${kind}" cannot be attached`,
        'disk, nic, usb, cpus and memory are what there is',
      );
    if (id === undefined)
      return usage(
        'attach: ID expected',
        '`qward attach NAME disk ID FILE`, `qward attach NAME nic ID BRIDGE`, `qward attach NAME usb DEVICE`, `qward attach NAME cpus NUMBER`, `qward attach NAME memory SIZE`',
      );
    if (kind === 'cpus' || kind === 'memory') {
      const asked = sizeAsked(kind, id);
      return asked === undefined || file !== undefined
        ? usage(
            `attach: ${kind === 'cpus' ? 'a number of CPUs' : 'a size such as 512MiB'} expected, and nothing else`,
          )
        : await attachDevice(context, { name, ...asked, persist });
    }
    if (kind === 'usb')
      return file === undefined
        ? await attachDevice(context, { name, usb: usbAsked(id), persist })
        : usage('attach: a USB device expected, and nothing else');
    const keys: Keys = {};
    for (const word of words) {
      const change = parseChange(word);
      if (change === undefined) return usage(`attach: "${word}" is not KEY=VALUE`);
      place(keys, change.key, change.value);
    }
    if (kind === 'nic') {
      const end = keys['kind'] === 'network' ? { network: file } : { kind: 'bridge', bridge: file };
      const nic = file === undefined ? { id } : { ...end, ...keys, id };
      return await attachDevice(context, { name, nic, persist });
    }
    if (file === undefined) return await attachDevice(context, { name, disk: { id }, persist });
    const fault = relativePath(context, [file]);
    if (fault !== undefined) return usage(`attach: ${fault}`);
    const [path = file] = pathsThere(context, [file]);
    const format = formatByName(path);
    if (keys['format'] === undefined && format === undefined)
      return usage(`attach: the name of ${path} does not say its format`, 'give format=qcow2 or format=raw');
    const disk = { path, ...(format === undefined ? {} : { format }), ...keys, id };
    return await attachDevice(context, { name, disk, persist });
  },
});
