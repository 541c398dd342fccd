/** packaging/man/qward.1, from the data of the commands. */
import type { Command, OptionSpecs } from '../../src/cli/command.ts';
import { commandGroups } from '../../src/cli/command-table.ts';
import { exitMeanings } from '../../src/cli/exit-status.ts';
import { globalOptions } from '../../src/cli/global-options.ts';
import { isList, optionUsage, usageLine } from '../../src/cli/render/help.ts';
import { qwardVersion } from '../../src/cli/version.ts';
import { entry, example, heading, manPage, paragraph, subheading } from './roff.ts';

const options = (specs: OptionSpecs): string[] =>
  Object.entries(specs).map(([name, spec]) => entry(optionUsage(name, spec), spec.help));

const exits = (meanings: Readonly<Record<number, string>>): string[] =>
  Object.entries(meanings).map(([status, meaning]) => entry(status, meaning));

function commandBlocks(command: Command): string[] {
  const blocks = [subheading(usageLine(command)), paragraph(command.summary)];
  for (const text of command.details?.split('\n\n') ?? [])
    blocks.push(isList(text) ? example(text.split('\n')) : paragraph(text));
  blocks.push(...Object.entries(command.arguments).map(([name, { help }]) => entry(name, help)));
  blocks.push(...options(command.options));
  if (command.exits !== undefined)
    blocks.push(paragraph('Exit statuses of its own:'), ...exits(command.exits));
  const lines = command.examples.flatMap(({ line, meaning }) => [`# ${meaning}`, line]);
  return lines.length === 0 ? blocks : [...blocks, example(lines)];
}

const description = [
  'qward runs QEMU machines on this host, each in a jail of its own, and proves the jail on the live process before the ' +
    'guest runs its first instruction. Machines are described in YAML; see qward.yaml(5).',
  'Where a command takes several machines, give names, patterns such as `"web*"` (quoted, or the shell takes them for ' +
    'files), `tag:TAG`, or `--all`. They are worked on side by side, each result is one line, and the exit status is the ' +
    'worst of them.',
  'All that a command does goes through the API of qward-manager(8) on its Unix socket. Who calls is what the kernel ' +
    'says: root and members of the group `qward-admin` may do everything, members of `qward-operators` may start, ' +
    'stop and look at machines, users rule the machines that are their own, and others are refused everything.',
];

const environment: Readonly<Record<string, string>> = {
  QWARD_SOCKET: "The manager's socket, where --socket is not given.",
  QWARD_ESCAPE: 'Default of --escape of `qward console`.',
  NO_COLOR: 'Not empty: no colours.',
  'VISUAL, EDITOR': 'What `qward edit` opens; else vi.',
};

export async function cliManPage(): Promise<string> {
  const body = [
    heading('Synopsis'),
    '.B qward\n.I COMMAND\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]',
    heading('Description'),
    ...description.map(paragraph),
    heading('Options of every command'),
    ...options(globalOptions),
  ];
  for (const [title, group] of Object.entries(commandGroups)) {
    const commands = await Promise.all(Object.values(group).map((load) => load()));
    body.push(heading(title), ...commands.flatMap(commandBlocks));
  }
  body.push(
    heading('Exit status'),
    ...exits(exitMeanings),
    heading('Environment'),
    ...Object.entries(environment).map(([name, meaning]) => entry(name, meaning)),
    heading('Files'),
    entry('/run/qward/api.sock', 'The socket of the manager.'),
    heading('See also'),
    paragraph(
      'qward.yaml(5), qward-policy.json(5), qward-instances.json(5), qward-manager(8), qward-broker(8), qemu-system-x86_64(1)',
    ),
  );
  return manPage({
    name: 'qward',
    section: 1,
    version: qwardVersion,
    summary: 'run QEMU machines, each in a jail of its own',
    body,
  });
}
