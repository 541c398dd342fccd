/** Faults for a person: one line each, the cure beneath it. */
import type { CommandFault } from '../command.ts';
import { escapeLines } from './escape.ts';
import type { Style } from './style.ts';

function place(fault: CommandFault): string {
  const file = fault.file ?? '';
  if (fault.line === undefined) return file === '' ? '' : `${file}: `;
  const column = fault.column === undefined ? '' : `:${fault.column}`;
  return file === '' ? `line ${fault.line}${column}: ` : `${file}:${fault.line}${column}: `;
}

const indent = (text: string): string => text.replaceAll('\n', '\n  ');

/** `subject` is the machine, where several were worked on. */
export function renderFaults(faults: readonly CommandFault[], style: Style, subject = ''): string {
  const about = subject === '' ? '' : `${escapeLines(subject)}: `;
  return faults
    .map((fault) => {
      const hint = fault.hint === '' ? '' : `  ${style.dim(indent(escapeLines(fault.hint)))}\n`;
      const excerpt =
        fault.excerpt === undefined ? '' : `  ${style.dim(indent(escapeLines(fault.excerpt)))}\n`;
      const rule = fault.ruleAt === undefined ? '' : `  ${escapeLines(fault.ruleAt)}\n`;
      const message = indent(escapeLines(fault.message));
      return `${about}${style.bold(escapeLines(place(fault)))}${style.red(message)}\n${excerpt}${rule}${hint}`;
    })
    .join('');
}
