import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import type { Found } from '../import/foreign-machines.ts';
import { takeIn, type TakeInOptions } from '../import/take-in.ts';
import { escapeLine } from '../render/escape.ts';
import { usage } from '../results.ts';

const formats = ['libvirt', 'qemu-init', 'xl', 'qemu'] as const;

export const importMachines = defineCommand({
  name: 'import',
  summary: 'Make definitions of machines of other managers.',
  details:
    'Prints the definitions, and on standard error what became of each piece of the files: taken as it is, with a change, or ' +
    'left out, with its line. Nothing is changed without --define. The files are read here, with your rights: neither the ' +
    'manager nor root reads them. docs/import.md has what is taken of each format.',
  arguments: {
    FORMAT: {
      help: 'libvirt: domain XML, as "virsh dumpxml" prints it. qemu-init: a directory. xl: xl.cfg. qemu: a command line.',
      complete: formats,
    },
    FILE: {
      help: 'Files, patterns such as "*.xml", or directories; "-" is standard input. qemu: the command line behind "--".',
      complete: 'file',
      repeated: true,
      optional: true,
    },
  },
  options: {
    define: {
      kind: 'flag',
      short: 'd',
      help: 'Define the machines, with claims as "qward define" makes them.',
    },
    start: { kind: 'flag', help: 'Define and start them.' },
    replace: { kind: 'flag', short: 'r', help: 'Also change machines that are defined already.' },
    dryRun: { kind: 'flag', short: 'n', help: 'Change nothing; with --define say what would be done.' },
    name: { kind: 'text', value: 'NAME', complete: 'none', help: 'Call the machine so.' },
    all: {
      kind: 'flag',
      short: 'a',
      help: 'libvirt: all machines of this host, or of the one mounted at FILE.',
    },
    pid: { kind: 'number', value: 'PID', complete: 'none', help: 'qemu: the command line of this process.' },
    strict: { kind: 'flag', help: 'Status 1 where something is left out.' },
  },
  examples: [
    { line: 'qward import libvirt web.xml > web.yaml', meaning: 'look at it first' },
    { line: 'qward import libvirt - --define < web.xml', meaning: 'from standard input' },
    {
      line: 'qward import libvirt "/etc/libvirt/qemu/*.xml" --define --dry-run',
      meaning: 'what would become of all',
    },
    { line: 'sudo qward import libvirt --all', meaning: 'a whole host, looked at first' },
    { line: 'qward import libvirt web.xml --start', meaning: 'in one step' },
    { line: 'qward import qemu-init ~/etc --define', meaning: 'all that it has registered' },
    { line: 'qward import xl /etc/xen/web.cfg', meaning: 'a machine of Xen' },
    { line: 'qward import qemu --name web -- qemu-system-x86_64 -m 1G web.img', meaning: 'a command line' },
    { line: 'qward import qemu --pid 4711', meaning: 'of a process that runs' },
  ],
  exits: { 1: '--strict: something is left out' },
  async run(context, { arguments: { FORMAT: format, FILE: words }, options: { name, pid, all, ...flags } }) {
    if (pid !== undefined && (format !== 'qemu' || words.length > 0))
      return usage('import: --pid is for qemu, in place of a command line');
    if (all)
      return await importHost(context, format, words, { ...flags, define: flags.define || flags.start });
    if (words.length === 0 && pid === undefined)
      return usage(
        `import: ${format === 'qemu' ? 'a command line behind "--", or --pid,' : 'FILE'} is missing`,
      );
    const found = await machinesOf(context, format, { words, name, pid });
    if (found === undefined)
      return usage(`import: "${format}" is not a format; ${formats.join(', ')} expected`);
    if (name !== undefined && found.machines.length > 1)
      return usage('import: --name is for one machine, and there are several');
    return await take(context, found, { ...flags, define: flags.define || flags.start });
  },
});

async function importHost(
  context: Context,
  format: string,
  words: readonly string[],
  options: TakeInOptions,
): Promise<CommandResult> {
  if (format !== 'libvirt' || words.length > 1)
    return usage('import: --all is for libvirt, with one directory at most, where a host is mounted');
  const { libvirtHost } = await import('../import/libvirt-host.ts');
  return await take(context, libvirtHost(words[0] ?? '/', !options.define), options);
}

async function machinesOf(
  context: Context,
  format: string,
  { words, name, pid }: { words: readonly string[]; name: string | undefined; pid: number | undefined },
): Promise<Found | undefined> {
  const readers = await import('../import/foreign-machines.ts');
  const wanted = { words, name, io: context.io };
  switch (format) {
    case 'libvirt':
      return await readers.libvirtMachines(wanted);
    case 'xl':
      return await readers.xlMachines(wanted);
    case 'qemu-init':
      return await readers.qemuInitMachines(wanted);
    case 'qemu':
      return await readers.qemuMachine(words, { name, pid });
    default:
      return undefined;
  }
}

async function take(context: Context, found: Found, options: TakeInOptions): Promise<CommandResult> {
  const result = await takeIn(context, found.machines, found.faults, options);
  if (!context.json && !context.quiet)
    for (const remark of found.remarks) context.warn(`${escapeLine(remark)}\n`);
  return result;
}
