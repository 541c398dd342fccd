/** One event a line. */
import type { MachineEvent } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

function paintEvent(event: string, style: Style): string {
  const text = escapeLine(event);
  if (/\.(crashed|failed)$/.test(event)) return style.red(text);
  return event.endsWith('.started') ? style.green(text) : text;
}

export function renderEvent({ at, event, machine, by, details }: MachineEvent, style: Style): string {
  const extra = Object.entries(details).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const parts = [
    style.dim(escapeLine(at)),
    ...(machine === null ? [] : [style.bold(escapeLine(machine))]),
    paintEvent(event, style),
    ...(by === null ? [] : [style.dim(`by ${escapeLine(by)}`)]),
    ...extra.map(escapeLine),
  ];
  return `${parts.join('  ')}\n`;
}
