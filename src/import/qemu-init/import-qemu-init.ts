/** A machine of qemu-init: `NAME-qemud.rc`, KEY=VALUE, and `NAME-qemu.cfg`, further options of QEMU. */
import type { DefinitionKey } from '../../definition/definition-keys.ts';
import { ForeignDraft, type ForeignImport, type Piece } from '../foreign-draft.ts';
import { readCommandLine } from '../qemu/import-command-line.ts';
import { memoryOf } from '../qemu/rules-of-options.ts';
import { changed, imported, unsupported, type Verdict } from '../verdict.ts';
import { wordsOf } from '../words.ts';

export interface QemuInitFiles {
  readonly rc: string;
  /** Empty where there is none. */
  readonly cfg: string;
  /** Directory of the two. */
  readonly directory: string;
}

interface KeyPlace {
  readonly draft: ForeignDraft;
  readonly piece: Piece;
  readonly value: string;
}

type KeyRule = (place: KeyPlace) => Verdict;

const isNo = (value: string): boolean => /^(?:0|no|off|false|none)?$/i.test(value);
const seconds = (value: string): number | undefined => (/^\d{1,6}$/.test(value) ? Number(value) : undefined);

const disk =
  (wish: string, cdrom = false): KeyRule =>
  ({ draft, piece, value }) => {
    const given = /(?:^|,)format=([a-z0-9]+)/.exec(value)?.[1];
    const path = value.replace(/,.*$/s, '').replace(/^file=/, '');
    return draft.drive(piece, { wish, path, cdrom, bus: 'ide', format: cdrom ? 'raw' : given });
  };

/** Made at the end, where every key is known. */
class Network {
  piece: Piece | undefined;
  readonly values: Record<string, string> = {};
  none = false;
}

const bridge = 'br0';

function networkRule(net: Network): KeyRule {
  return ({ piece, value }) => {
    net.piece ??= piece;
    if (isNo(value)) net.none = true;
    else if (/^(?:user|slirp)$/i.test(value)) net.values['kind'] = 'user';
    else if (/^(?:tap|bridge|yes|on|true|1)$/i.test(value)) net.values['bridge'] ??= bridge;
    else net.values['bridge'] = value;
    return imported;
  };
}

const hook =
  (when: string): KeyRule =>
  () =>
    unsupported(
      `a command ${when}: programs of the administrator stand in the policy (hooks), and a machine names one: hooks: {${when === 'before the start' ? 'start' : 'stop'}: NAME}`,
    );

function rulesOf(net: Network): Readonly<Record<string, KeyRule>> {
  const network = networkRule(net);
  const board: KeyRule = () => imported;
  return {
    NAME: ({ draft, piece, value }) => draft.name(piece, value),
    DESC: ({ draft, piece, value }) => draft.put(piece, 'description', value.slice(0, 1024)),
    TGTARCH: ({ value }) =>
      /(?:x86_64|i386|kvm)$/.test(value)
        ? imported
        : unsupported(`${value.slice(0, 40)}: qward runs x86-64 machines only`),
    RUNAS: ({ value }) =>
      value === 'qemud' || isNo(value)
        ? imported
        : changed(
            `the machine has a uid of its own; where it must be ${value.slice(0, 40)}: confinement: {user: ${value.slice(0, 40)}}, with a line in the policy`,
          ),
    DAEMON: () => imported,
    KVM: ({ draft, piece, value }) => (isNo(value) ? draft.put(piece, 'accel', 'tcg') : imported),
    MONITOR: () => changed('the monitor is qward’s: qward monitor, qward qmp'),
    BOOTDELAY: ({ draft, piece, value }) =>
      seconds(value) === undefined
        ? unsupported('no number of seconds')
        : draft.put(piece, 'autostart.delay', `${value}s`),
    STOPDELAY: ({ draft, piece, value }) => {
      const time = seconds(value);
      if (time === undefined) return unsupported('no number of seconds');
      // qemu-init waits 40 s at least.
      return draft.put(piece, 'stop.timeout', `${Math.max(40, time)}s`);
    },
    PRECMD: hook('before the start'),
    POSTCMD: hook('after the start'),
    RAM: ({ draft, piece, value }) => {
      const size = memoryOf(value);
      return size === undefined ? unsupported('no size') : draft.put(piece, 'memory', size);
    },
    BOARD: board,
    MACHINE: board,
    CPU: board,
    SMP: board,
    CPUS: board,
    CORES: board,
    BOOT: board,
    BIOS: board,
    VGA: board,
    SOUND: board,
    RTC: board,
    HDA: disk('hda'),
    HDB: disk('hdb'),
    HDC: disk('hdc'),
    HDD: disk('hdd'),
    DISK: disk('disk0'),
    DRIVE: disk('disk0'),
    CDROM: disk('cdrom', true),
    FDA: () => unsupported('there are no floppy drives'),
    FDB: () => unsupported('there are no floppy drives'),
    NET: network,
    NETWORK: network,
    BRIDGE: network,
    NIC: network,
    TAP: () => changed('TAP devices have names of qward’s'),
    MAC: ({ value }) => {
      net.values['mac'] = value.toLowerCase();
      return imported;
    },
    MACADDR: ({ value }) => {
      net.values['mac'] = value.toLowerCase();
      return imported;
    },
    VNC: ({ draft, piece, value }) =>
      /^(?:no|off|false|none)$/i.test(value)
        ? draft.put(piece, 'vnc', false)
        : changed('nothing listens: the screen is reached by qward vnc'),
    DISPLAY: () => changed('no window opens: the screen is reached by qward vnc'),
    KEYMAP: () => changed('viewers send keys by their place, which needs no keymap'),
    KEYBOARD: () => changed('viewers send keys by their place, which needs no keymap'),
    USB: () => imported,
    TABLET: () => imported,
  };
}

/** Keys that are one option of QEMU's. */
const asOptions: Readonly<Record<string, string>> = {
  BOARD: '-machine',
  MACHINE: '-machine',
  CPU: '-cpu',
  SMP: '-smp',
  CPUS: '-smp',
  CORES: '-smp',
  BOOT: '-boot',
  BIOS: '-bios',
  VGA: '-vga',
  SOUND: '-soundhw',
  RTC: '-rtc',
};

interface Line {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

/** KEY=VALUE; what stands behind a `#` is a comment, and a value may be in quotes. */
function linesOf(rc: string): readonly Line[] {
  return rc.split('\n').flatMap((text, index) => {
    const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^#]*))/.exec(text);
    if (match === null) return [];
    const [, key = '', double, single, plain = ''] = match;
    return [{ key, value: (double ?? single ?? plain).trim(), line: index + 1 }];
  });
}

export function importQemuInit(
  files: QemuInitFiles,
  { name, keys }: { readonly name?: string; readonly keys?: readonly DefinitionKey[] } = {},
): ForeignImport {
  const draft = new ForeignDraft(files.directory, keys);
  const net = new Network();
  const rules = rulesOf(net);
  const options: { readonly text: string; readonly line: number }[] = [];
  const set = linesOf(files.rc).map((line) => ({ ...line, piece: { subject: line.key, line: line.line } }));
  for (const { key, value, line } of set)
    if (asOptions[key] !== undefined && !isNo(value))
      options.push({ text: asOptions[key], line }, { text: value, line });
  const words = [...options, ...wordsOf(files.cfg)];
  // What qemu-init gives where nothing is said.
  draft.put(draft.machine.source, 'machine', 'pc');
  draft.put(draft.machine.source, 'vnc', true);
  draft.put(draft.machine.source, 'memory', '2GiB');
  for (const { key, value, piece } of set) {
    const rule = rules[key];
    const empty = value === '' || value === '0';
    if (rule === undefined) draft.judge(piece, unsupported('no key of qemu-init that qward knows'));
    else draft.judge(piece, empty && key !== 'KVM' ? imported : rule({ draft, piece, value }));
  }
  readCommandLine(
    draft,
    ['-nographic', '-serial', 'none', ...words.map(({ text }) => text)],
    (index) => words[index - 3]?.line ?? 1,
    false,
  );
  if (!net.none && draft.items('nics').length === 0) {
    const piece = net.piece ?? { subject: 'network', line: 1 };
    const { kind = 'bridge', bridge: own = bridge, ...rest } = net.values;
    draft.nic(piece, 'net0', kind === 'user' ? { kind, ...rest } : { kind, bridge: own, ...rest });
    if (net.piece === undefined)
      draft.judge(piece, changed(`no key for the network means a card on the bridge ${bridge}`));
  }
  return draft.finish(name);
}
