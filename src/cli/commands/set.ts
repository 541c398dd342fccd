import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withClaims } from '../own-files.ts';
import { escapeLine } from '../render/escape.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

interface Change {
  readonly key: string;
  readonly value: string | null;
}

/** `memory=4GiB`; undefined where there is no key before the first "=". */
export function parseChange(word: string): { readonly key: string; readonly value: string } | undefined {
  const equals = word.indexOf('=');
  return equals > 0 ? { key: word.slice(0, equals), value: word.slice(equals + 1) } : undefined;
}

export const set = defineCommand({
  name: 'set',
  summary: 'Change single keys of a definition.',
  details: 'Says what applies to the running machine now and what at its next start. Comments are kept.',
  arguments: {
    NAME: oneMachine,
    CHANGE: {
      help: 'KEY=VALUE, the key as in the definition, parts joined by ".": cpu.count=4.',
      complete: 'none',
      repeated: true,
      optional: true,
    },
  },
  options: {
    unset: {
      kind: 'texts',
      short: 'u',
      value: 'KEY',
      complete: 'none',
      help: 'Back to its default; may be given several times.',
    },
  },
  examples: [
    { line: 'qward set web memory=4GiB cpu.count=2', meaning: 'two keys' },
    { line: 'qward set web --unset limits.cpuQuota', meaning: 'back to the default' },
  ],
  async run(context, { arguments: { NAME: name, CHANGE: words }, options: { unset } }) {
    const changes: Change[] = unset.map((key) => ({ key, value: null }));
    for (const word of words) {
      const change = parseChange(word);
      if (change === undefined) return usage(`set: "${word}" is not KEY=VALUE`);
      changes.push(change);
    }
    if (changes.length === 0) return usage('set: what? Give KEY=VALUE or --unset KEY');
    const call = withClaims(
      context,
      () => context.client.call('set', { name, changes }),
      (files) => files.set({ name, changes }),
    );
    const { reply, notes } = await context.during(`changing ${name}`, call);
    return fromReply(await withNearestName(context, name, reply), ({ applied, atNextStart }, style) => {
      const lines = [
        ...applied.map((key) => `${escapeLine(key)}: ${style.green('applies now')}`),
        ...atNextStart.map((key) => `${escapeLine(key)}: ${style.yellow('applies at the next start')}`),
        ...notes.map((note) => `${escapeLine(name)} ${escapeLine(note)}`),
      ];
      return lines.length === 0 ? 'Nothing changed.\n' : `${lines.join('\n')}\n`;
    });
  },
});
