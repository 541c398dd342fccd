/** What the history says of a call beside its name. */
import { writtenFiles } from '../../definition/written-files.ts';
import { machineNamePattern } from '../../protocol/launch.ts';
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
    return {
      ...(name === undefined ? {} : { machine: name }),
      ...(field('dryRun') === true ? { details: 'dry run' } : {}),
    };
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
    case 'attach':
      return JSON.stringify(field('disk') ?? field('nic'));
    case 'resizeDisk':
      return JSON.stringify({ disk: field('disk'), size: field('size'), more: field('more') });
    case 'backup':
    case 'overlay':
      return JSON.stringify({ disks: field('disks') });
    case 'commit':
    case 'pull':
      return JSON.stringify({ disk: field('disk') });
    case 'mirror':
      return JSON.stringify({ disk: field('disk'), path: field('path') });
    case 'detach':
      return JSON.stringify({ id: field('id') });
    case 'grant':
    case 'revoke':
      return JSON.stringify({ who: field('who'), rights: field('rights') });
    default:
      return call.startsWith('disk') ? imagesOf(field) : undefined;
  }
}

/** The images of a job on them, in the order in which the command line has them. */
function imagesOf(field: (name: string) => unknown): string {
  const paths = ['path', 'source', 'image', 'target'].flatMap((name) => {
    const value = field(name);
    const path: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'path') : value;
    return typeof path === 'string' ? [path] : [];
  });
  return JSON.stringify(paths);
}

/** As the definition is read: a text may hold lines that look like the name of another's machine. */
function nameIn(source: unknown): string | undefined {
  const name = typeof source === 'string' ? writtenFiles(source)?.name : undefined;
  return name !== undefined && machineNamePattern.test(name) ? name : undefined;
}
