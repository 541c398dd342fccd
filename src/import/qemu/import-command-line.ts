/** A command line of QEMU to a definition: what is known becomes keys, the rest arguments within the jail, with the grants that they need. */
import type { DefinitionKey } from '../../definition/definition-keys.ts';
import { machineSchema } from '../../definition/schema.ts';
import { hostResources } from '../../plan/passthrough/host-resources.ts';
import { judgeResources } from '../../plan/passthrough/lint.ts';
import { leavesOf, valueOf, type Leaf } from '../../plan/passthrough/option-values.ts';
import { readOptions, type QemuOption } from '../../plan/passthrough/qemu-options.ts';
import { refusalOf } from '../../plan/passthrough/refused-options.ts';
import { ForeignDraft, type ForeignImport, type Piece } from '../foreign-draft.ts';
import { changed, unsupported, type Verdict } from '../verdict.ts';
import { deviceRules } from './rules-of-devices.ts';
import { optionRules } from './rules-of-options.ts';

export interface CommandLineOptions {
  /** Where relative paths begin. */
  readonly cwd: string;
  readonly name?: string;
  readonly keys?: readonly DefinitionKey[];
}

/** What rules must know of the whole command line. */
export class CommandLine {
  readonly draft: ForeignDraft;
  /** `-netdev`, `-drive`, `-blockdev`, `-chardev` and `-object` by their ids, with their own pieces. */
  readonly back = new Map<
    string,
    { readonly piece: Piece; readonly leaves: readonly Leaf[]; used: boolean }
  >();
  readonly bootIndexes: { readonly order: number; readonly id: string }[] = [];
  /** Letters of `-boot order=`. */
  bootOrder = '';
  graphic: boolean | undefined;
  serial: boolean | undefined;
  hasNic = false;
  defaults = true;

  constructor(draft: ForeignDraft) {
    this.draft = draft;
  }

  pass(option: QemuOption, piece: Piece): Verdict {
    const refused = refusalOf(option);
    if (refused !== undefined) return unsupported(`${refused.reason}; ${refused.cure}`);
    const words = option.value === '' || option.value === null ? [] : [option.value];
    for (const word of [`-${option.name}`, ...words])
      this.draft.append(this.draft.machine, 'qemu.args', word, piece);
    const needs = judgeResources({ index: 0, option: `-${option.name}` }, hostResources(option), {
      granted: machineSchema.parse({ name: 'nothing-granted' }),
      shown: ['/usr/share'],
    });
    const cures = needs.filter(({ grant }) => grant === null).map(({ cure }) => cure);
    return changed(
      `handed to QEMU as it is, within the jail${cures.length > 0 ? `; it needs ${cures.join(', and ')}` : ''}`,
    );
  }
}

const backOptions: Readonly<Record<string, { readonly implied: string; readonly id: string }>> = {
  netdev: { implied: 'type', id: 'id' },
  drive: { implied: 'file', id: 'id' },
  blockdev: { implied: 'driver', id: 'node-name' },
  chardev: { implied: 'backend', id: 'id' },
  object: { implied: 'qom-type', id: 'id' },
};

/** Behind these another option stands that uses them. */
function collect(line: CommandLine, option: QemuOption, piece: Piece): void {
  const kind = backOptions[option.name];
  if (kind === undefined) return;
  const leaves = leavesOf(option.value ?? '', kind.implied);
  const id = valueOf(leaves, kind.id);
  if (id !== undefined) line.back.set(`${option.name} ${id}`, { piece, leaves, used: false });
}

function judge(line: CommandLine, option: QemuOption, piece: Piece): Verdict | undefined {
  const value = option.value ?? '';
  if (option.name === 'device') {
    const leaves = leavesOf(value, 'driver');
    const rule = deviceRules[valueOf(leaves, 'driver') ?? ''];
    return rule === undefined
      ? line.pass(option, piece)
      : rule({ line, draft: line.draft, piece, leaves, value });
  }
  const rule = optionRules[option.name];
  if (rule === undefined) return option.name in backOptions ? undefined : line.pass(option, piece);
  return rule({ line, draft: line.draft, piece, leaves: leavesOf(value, ''), value });
}

/** Drives by the letters of `-boot`, or by bootindex. */
function setBootOrder(line: CommandLine): void {
  const { draft } = line;
  const first = (list: string): readonly string[] =>
    draft.items(list).flatMap(({ values: { id } }) => (typeof id === 'string' ? [id] : []));
  const letters: Readonly<Record<string, readonly string[]>> = {
    c: first('disks'),
    d: first('cdroms'),
    n: first('nics').slice(0, 1),
  };
  const order =
    line.bootIndexes.length > 0
      ? line.bootIndexes.toSorted((a, b) => a.order - b.order).map(({ id }) => id)
      : Array.from(line.bootOrder).flatMap((letter) => letters[letter] ?? []);
  const usual = [...first('disks'), ...first('cdroms')];
  if (order.length > 0 && order.join(' ') !== usual.join(' '))
    draft.put(draft.machine.source, 'boot.order', [...new Set(order)]);
}

/** A tablet comes with the screen here; QEMU has it where it is asked for. */
function setInputs(draft: ForeignDraft): void {
  if (draft.machine.values['vnc'] !== true || !draft.has('inputs', 'type')) return;
  const [first, ...more] = draft.items('inputs');
  if (first === undefined) draft.put(draft.machine.source, 'inputs', []);
  else if (more.length === 0 && first.values['type'] === 'tablet' && first.values['bus'] === 'usb')
    draft.drop(first);
}

/** QEMU gives a screen, a serial port and a card where nothing is said of them. */
function setDefaults(line: CommandLine): void {
  const { draft } = line;
  const top = draft.machine.source;
  if (line.graphic ?? line.defaults) draft.put(top, 'vnc', true);
  setInputs(draft);
  if (line.serial === false) draft.put(top, 'console', false);
  if (draft.valueAt(draft.machine, 'rng') !== true) draft.put(top, 'rng', false);
  if (draft.valueAt(draft.machine, 'balloon') !== true) draft.put(top, 'balloon', false);
}

const programs = /^(?:qemu-system-(?:x86_64|i386)|qemu-kvm|kvm|qemu)$/;

/** `words` as given to exec: the program first. */
export function importCommandLine(words: readonly string[], options: CommandLineOptions): ForeignImport {
  const program = words[0]?.split('/').at(-1) ?? '';
  if (!programs.test(program))
    return {
      ok: false,
      faults: [
        {
          message: `the program is "${program.slice(0, 60)}"; qemu-system-x86_64 is expected`,
          hint: 'Give the whole command line: qward import qemu -- qemu-system-x86_64 -m 1G …',
        },
      ],
    };
  const draft = new ForeignDraft(options.cwd, options.keys);
  readCommandLine(draft, words.slice(1), (index) => index + 1);
  return draft.finish(options.name ?? (draft.machine.values['name'] === undefined ? 'qemu' : undefined));
}

/** Options of QEMU into a draft; `lineOf` says where the word of an index stands. */
export function readCommandLine(
  draft: ForeignDraft,
  words: readonly string[],
  lineOf: (index: number) => number,
  netless = true,
): void {
  const line = new CommandLine(draft);
  const options = readOptions(words).map((option) => ({
    option,
    piece: { subject: `-${option.name}`, line: lineOf(option.index) },
  }));
  // The board decides what other options mean.
  const early = new Set(['M', 'machine', 'nodefaults']);
  draft.put(draft.machine.source, 'machine', 'pc');
  for (const { option, piece } of options) collect(line, option, piece);
  for (const late of [false, true])
    for (const { option, piece } of options) {
      if (early.has(option.name) === late) continue;
      const verdict = judge(line, option, piece);
      if (verdict !== undefined) draft.judge(piece, verdict);
    }
  for (const [key, { piece, used }] of line.back) {
    const [name = ''] = key.split(' ');
    const option = options.find((one) => one.piece === piece)?.option;
    if (!used && option !== undefined && optionRules[name] === undefined)
      draft.judge(piece, line.pass(option, piece));
  }
  setDefaults(line);
  setBootOrder(line);
  if (netless && !line.hasNic && line.defaults)
    draft.judge(
      draft.machine.source,
      changed('QEMU would give a card with a network of its own; here there is none: add nics'),
    );
}
