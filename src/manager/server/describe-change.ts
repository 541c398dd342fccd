/** What the history says of a call beside its name. */
import { capText } from '../log.ts';

const maxLength = 500;

export interface ChangeText {
  /** Of a definition, which has no name in its path. */
  readonly machine?: string;
  readonly details?: string;
}

/** The name of what is defined, the keys that are set, the words given to a monitor; never whole definitions. */
export function describeChange(call: string, body: unknown): ChangeText {
  const field = (name: string): unknown =>
    typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
  if (call === 'define') {
    const name = nameIn(field('source'));
    return name === undefined ? {} : { machine: name };
  }
  const text = detailsOf(call, field);
  return text === undefined ? {} : { details: capText(text, maxLength) };
}

function detailsOf(call: string, field: (name: string) => unknown): string | undefined {
  switch (call) {
    case 'set':
      return JSON.stringify(field('changes'));
    case 'qmp':
      return JSON.stringify({ execute: field('execute'), arguments: field('arguments') });
    case 'monitor':
      return JSON.stringify(field('command'));
    case 'rename':
    case 'clone':
    case 'give':
      return JSON.stringify({ to: field('to') });
    case 'grant':
    case 'revoke':
      return JSON.stringify({ who: field('who'), rights: field('rights') });
    default:
      return undefined;
  }
}

function nameIn(source: unknown): string | undefined {
  return typeof source === 'string'
    ? /^name:\s*([a-z][a-z0-9-]{0,62})\s*(?:#|$)/m.exec(source)?.[1]
    : undefined;
}
