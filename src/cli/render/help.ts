/** Help, from the data of the commands. */
import type { ArgumentSpecs, CommandData, OptionSpec, OptionSpecs } from '../command.ts';
import { exitMeanings } from '../exit-status.ts';
import { globalOptions } from '../global-options.ts';
import { optionFlag } from '../parse-arguments.ts';

const width = 78;
const longLine = new RegExp(`^(.{${width},})\\n(?=.)`, 'gm');

/** A line break is kept behind a short line (a list, a paragraph's end); behind a long one the text goes on. */
function fold(text: string, indent: string): string {
  return text
    .replace(longLine, '$1 ')
    .split('\n')
    .map((line) => foldLine(line, indent))
    .join('\n');
}

function foldLine(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, indent + line].join('\n');
}

/** Two columns; the second is folded. */
function pairs(rows: readonly (readonly [string, string])[]): string {
  const left = Math.min(26, Math.max(0, ...rows.map(([one]) => one.length)));
  return rows
    .map(([one, other]) => {
      const indent = ' '.repeat(left + 4);
      const text = fold(other, indent).slice(indent.length);
      return one.length > left ? `  ${one}\n${indent}${text}` : `  ${one.padEnd(left)}  ${text}`;
    })
    .join('\n');
}

/** Whether a part of the details is lines of their own, not prose. */
export function isList(text: string): boolean {
  const lines = text.split('\n');
  return lines.length > 2 && lines.every((line) => line.length < width);
}

/** `NAME...`, `[NAME...]`, `FILE`. */
export function argumentUsage(specs: ArgumentSpecs): string {
  return Object.entries(specs)
    .map(([name, spec]) => {
      const word = spec.repeated === true ? `${name}...` : name;
      return spec.optional === true ? `[${word}]` : word;
    })
    .join(' ');
}

/** `-t, --timeout TIME`. */
export function optionUsage(name: string, spec: OptionSpec): string {
  const flags = `${spec.short === undefined ? '' : `-${spec.short}, `}${optionFlag(name)}`;
  return spec.kind === 'flag' ? flags : `${flags} ${spec.value}`;
}

export function usageLine(command: CommandData): string {
  return ['qward', command.name, '[OPTION...]', argumentUsage(command.arguments)]
    .filter((part) => part !== '')
    .join(' ');
}

const optionRows = (specs: OptionSpecs): (readonly [string, string])[] =>
  Object.entries(specs).map(([name, spec]) => [optionUsage(name, spec), spec.help] as const);

export function commandHelp(command: CommandData): string {
  const parts = [`${command.summary}\n\nUsage: ${usageLine(command)}`];
  if (command.details !== undefined) parts.push(fold(command.details, ''));
  const args = Object.entries(command.arguments).map(([name, spec]) => [name, spec.help] as const);
  if (args.length > 0) parts.push(`Arguments:\n${pairs(args)}`);
  const options = optionRows(command.options);
  if (options.length > 0) parts.push(`Options:\n${pairs(options)}`);
  parts.push(`Options of every command:\n${pairs(optionRows(globalOptions))}`);
  if (command.exits !== undefined) {
    const exits = { ...exitMeanings, ...command.exits };
    parts.push(
      `Exit status:\n${pairs(Object.entries(exits).map(([status, text]) => [status, text] as const))}`,
    );
  }
  if (command.examples.length > 0)
    parts.push(`Examples:\n${pairs(command.examples.map(({ line, meaning }) => [line, meaning] as const))}`);
  return `${parts.join('\n\n')}\n`;
}

/** The help of the whole program. `groups`: title → commands. */
export function programHelp(groups: Readonly<Record<string, readonly CommandData[]>>): string {
  const parts = [
    'qward runs QEMU machines, each in a jail of its own.\n\nUsage: qward COMMAND [OPTION...] [ARGUMENT...]',
  ];
  for (const [title, commands] of Object.entries(groups))
    parts.push(`${title}:\n${pairs(commands.map(({ name, summary }) => [name, summary] as const))}`);
  parts.push(`Options of every command:\n${pairs(optionRows(globalOptions))}`);
  const exits = Object.entries(exitMeanings).map(([status, text]) => `${status} ${text}`);
  parts.push(fold(`Exit status: ${exits.join('; ')}.`, ''));
  parts.push('"qward help COMMAND" or "qward COMMAND --help" tells more, with examples.');
  return `${parts.join('\n\n')}\n`;
}
