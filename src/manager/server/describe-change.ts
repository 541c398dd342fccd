/** What the log of changes says of a call beside its name. */
import { capText } from '../log.ts';

const maxLength = 500;

/** The name of what is defined, the keys that are set, the words given to a monitor; never whole definitions. */
export function describeChange(call: string, body: unknown): { readonly details?: string } {
  const field = (name: string): unknown =>
    typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
  const text = detailsOf(call, field);
  return text === undefined ? {} : { details: capText(text, maxLength) };
}

function detailsOf(call: string, field: (name: string) => unknown): string | undefined {
  switch (call) {
    case 'define': {
      const source = field('source');
      return typeof source === 'string' ? /^name:[^\n]{0,100}/m.exec(source)?.[0] : undefined;
    }
    case 'set':
      return JSON.stringify(field('changes'));
    case 'qmp':
      return JSON.stringify({ execute: field('execute'), arguments: field('arguments') });
    case 'monitor':
      return JSON.stringify(field('command'));
    case 'rename':
    case 'clone':
      return JSON.stringify({ to: field('to') });
    default:
      return undefined;
  }
}
