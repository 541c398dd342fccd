/** Names, globs, tags and --all → names of machines. */
import { endedStates } from '../api/endpoints.ts';
import type { CallResult } from '../api/calls.ts';
import type { Reply } from '../api/client.ts';
import type { CommandFault } from './command.ts';
import type { Context } from './context.ts';
import { nearest } from '../definition/suggest.ts';

export type Summary = CallResult<'list'>[number];

export type Selection =
  | {
      readonly ok: true;
      readonly names: readonly string[];
      /** Whether more than what was named one by one may be in it. */
      readonly wide: boolean;
    }
  | { readonly ok: false; readonly faults: readonly CommandFault[] };

/** Whether there is a QEMU process, as far as is known. */
export const isAlive = ({ state }: Summary): boolean => !endedStates.includes(state);

/** The same, or that there will be one soon by itself: what a stop concerns. */
export const isAliveSoon = (machine: Summary): boolean => isAlive(machine) || machine.restart !== null;

const tagPrefix = 'tag:';
const isPattern = (word: string): boolean => word.startsWith(tagPrefix) || /[*?[]/.test(word);

/** A shell glob: `*`, `?`, `[abc]`, `[!abc]`. */
export function globExpression(glob: string): RegExp {
  const source = glob.replaceAll(/\*|\?|\[!?[^\]]+\]|[\s\S]/g, (token) => {
    if (token === '*') return '.*';
    if (token === '?') return '.';
    if (token.length > 1) {
      const negated = token.startsWith('[!');
      const inner = token.slice(negated ? 2 : 1, -1).replaceAll(/[\\\]^]/g, '\\$&');
      return `[${negated ? '^' : ''}${inner}]`;
    }
    return token.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 'u');
}

/** The machines that one word means, in the order of the list. */
export function matchingMachines(word: string, machines: readonly Summary[]): readonly Summary[] {
  if (word.startsWith(tagPrefix)) {
    const tag = globExpression(word.slice(tagPrefix.length));
    return machines.filter(({ tags }) => tags.some((one) => tag.test(one)));
  }
  const expression = globExpression(word);
  return machines.filter(({ name }) => expression.test(name));
}

function noMatch(word: string): CommandFault {
  const message = word.startsWith(tagPrefix)
    ? `no machine has the tag "${word.slice(tagPrefix.length)}"`
    : `no machine matches "${word}"`;
  return { code: 'machine-unknown', message, hint: 'qward list shows the machines that you may see.' };
}

function expand(
  words: readonly string[],
  machines: readonly Summary[],
  concerns: (machine: Summary) => boolean,
): Selection {
  const names = new Set<string>();
  const faults: CommandFault[] = [];
  for (const word of words) {
    if (!isPattern(word)) {
      names.add(word);
      continue;
    }
    const matching = matchingMachines(word, machines);
    if (matching.length === 0) faults.push(noMatch(word));
    for (const machine of matching) if (concerns(machine)) names.add(machine.name);
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, names: [...names], wide: true };
}

export interface SelectOptions {
  readonly words: readonly string[];
  readonly all: boolean;
  /** Which machines a pattern or --all means: `stop --all` leaves alone what is stopped. */
  readonly concerns?: (machine: Summary) => boolean;
}

/** Asks the manager only where a pattern needs it: a plain name goes to its call unseen. */
export async function selectMachines(context: Context, options: SelectOptions): Promise<Selection> {
  const { words, all, concerns = () => true } = options;
  if (words.length === 0 && !all) {
    const message = 'which machine? Give a name, a pattern such as "web*", tag:TAG, or --all';
    return { ok: false, faults: [{ code: 'request-invalid', message, hint: '' }] };
  }
  if (words.length > 0 && all) {
    const message = 'names and --all together: give one of them';
    return { ok: false, faults: [{ code: 'request-invalid', message, hint: '' }] };
  }
  if (!all && !words.some(isPattern)) return { ok: true, names: [...new Set(words)], wide: false };
  const reply = await context.client.call('list');
  if (!reply.ok) return reply;
  if (all) return { ok: true, names: reply.result.filter(concerns).map(({ name }) => name), wide: true };
  return expand(words, reply.result, concerns);
}

/** The same faults; an unknown name gets the one that was probably meant, as far as the user may see it. */
export async function withNearestName<Result>(
  context: Context,
  name: string,
  reply: Reply<Result>,
): Promise<Reply<Result>> {
  if (reply.ok || reply.faults[0]?.code !== 'machine-unknown') return reply;
  const machines = await context.client.call('list');
  if (!machines.ok) return reply;
  const near = nearest(
    name,
    machines.result.map((machine) => machine.name),
  );
  if (near === undefined) return reply;
  const [first, ...others] = reply.faults;
  return { ...reply, faults: [{ ...first, hint: `Did you mean "${near}"?` }, ...others] };
}
