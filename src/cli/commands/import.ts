import { defineCommand, type CommandFault, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { filesOfWord, readForeign } from '../import/foreign-files.ts';
import { takeIn, type Foreign, type TakeInOptions } from '../import/take-in.ts';
import { usage } from '../results.ts';

const formats = ['libvirt'] as const;

export const importMachines = defineCommand({
  name: 'import',
  summary: 'Make definitions of machines of other managers.',
  details:
    'Prints the definitions, and on standard error what became of each piece of the files: taken as it is, with a change, or ' +
    'left out, with its line. Nothing is changed without --define. The files are read here, with your rights: neither the ' +
    'manager nor root reads them. docs/import.md has what is taken of each format.',
  arguments: {
    FORMAT: { help: 'libvirt: domain XML, as "virsh dumpxml" prints it.', complete: formats },
    FILE: {
      help: 'Files, patterns such as "*.xml", or directories; "-" is standard input.',
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
    strict: { kind: 'flag', help: 'Status 1 where something is left out.' },
  },
  examples: [
    { line: 'qward import libvirt web.xml > web.yaml', meaning: 'look at it first' },
    { line: 'qward import libvirt - --define < web.xml', meaning: 'from standard input' },
    {
      line: 'qward import libvirt "/etc/libvirt/qemu/*.xml" --define --dry-run',
      meaning: 'what would become of all',
    },
    { line: 'qward import libvirt web.xml --start', meaning: 'in one step' },
  ],
  exits: { 1: '--strict: something is left out' },
  async run(context, { arguments: { FORMAT: format, FILE: words }, options }) {
    const { name, ...flags } = options;
    const takeOptions: TakeInOptions = { ...flags, define: flags.define || flags.start };
    if (format !== 'libvirt')
      return usage(`import: "${format}" is not a format; ${formats.join(', ')} expected`);
    return await importLibvirt(context, words, { ...takeOptions, ...(name === undefined ? {} : { name }) });
  },
});

async function importLibvirt(
  context: Context,
  words: readonly string[],
  options: TakeInOptions & { readonly name?: string },
): Promise<CommandResult> {
  if (words.length === 0) return usage('import: FILE is missing: a file of XML, or "-"');
  const { importDomains } = await import('../../import/libvirt/import-domain.ts');
  const { definitionKeys } = await import('../../definition/definition-keys.ts');
  const { name } = options;
  const keys = definitionKeys();
  const found: Foreign[] = [];
  const faults: CommandFault[] = [];
  for (const word of words) {
    const files = filesOfWord(word, '.xml');
    if ('message' in files) faults.push(files);
    else
      for (const path of files) {
        const read = readForeign(context.io, path);
        if ('message' in read) faults.push(read);
        else
          for (const one of importDomains(read.text, name === undefined ? { keys } : { keys, name }))
            if (one.ok)
              found.push({ file: read.file, name: one.name, source: one.source, account: one.account });
            else
              faults.push(
                ...one.faults.map((fault) => ({
                  ...fault,
                  code: 'definition-invalid' as const,
                  file: read.file,
                })),
              );
      }
  }
  if (name !== undefined && found.length > 1)
    return usage('import: --name is for one machine, and there are several');
  return await takeIn(context, found, faults, options);
}
