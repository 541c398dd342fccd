import { keysOfText, parseCombination, type KeyName } from '../../api/keys.ts';
import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

const maxCombinations = 1024;

type Keys =
  | { readonly ok: true; readonly keys: readonly (readonly KeyName[])[] }
  | { readonly ok: false; readonly message: string };

function keysOf(words: readonly string[], text: string | undefined): Keys {
  const combinations = words.map((word) => ({ word, keys: parseCombination(word) }));
  const wrong = combinations.filter(({ keys }) => keys === undefined).map(({ word }) => word);
  if (wrong.length > 0) return { ok: false, message: `no such key: ${wrong.join(', ')}` };
  const typed = keysOfText(text ?? '');
  if (!typed.ok)
    return { ok: false, message: `no key of a US keyboard types ${JSON.stringify(typed.character)}` };
  const keys = [
    ...combinations.flatMap(({ keys: held }) => (held === undefined ? [] : [held])),
    ...typed.keys,
  ];
  return keys.length > maxCombinations
    ? { ok: false, message: `${keys.length} keys, at most ${maxCombinations} at once` }
    : { ok: true, keys };
}

export const sendKey = defineCommand({
  name: 'send-key',
  summary: 'Press keys on the keyboard of a machine.',
  details:
    'The machine needs `vnc: true`. Each KEYS is a key, or several held together with "-" between them, by the names of QEMU: letters,\n' +
    'digits, ctrl, alt, shift, delete, ret, esc, spc, tab, f1 to f24, up, left, minus, kp_enter and so on. --text types after them what a\n' +
    'keyboard of the United States can; the guest makes of it what its own layout says.',
  arguments: {
    NAME: oneMachine,
    KEYS: {
      help: 'Keys, one combination after the other.',
      complete: ['ctrl-alt-delete', 'ctrl-alt-f1', 'ret', 'esc', 'tab', 'f2', 'f12'],
      optional: true,
      repeated: true,
    },
  },
  options: {
    text: { kind: 'text', short: 't', value: 'TEXT', help: 'Text to type.' },
    hold: { kind: 'duration', value: 'TIME', help: 'How long each is held. Default: 30ms.' },
  },
  examples: [
    { line: 'qward send-key web ctrl-alt-delete', meaning: 'what a PC does with it' },
    { line: 'qward send-key web --text root ; qward send-key web ret', meaning: 'a name at a login prompt' },
  ],
  async run(context, { arguments: { NAME: name, KEYS: words }, options: { text, hold } }) {
    const parsed = keysOf(words, text);
    if (!parsed.ok) return usage(`send-key: ${parsed.message}`, '`qward send-key --help` has the names');
    if (parsed.keys.length === 0)
      return usage('send-key: KEYS or --text expected', 'For example: qward send-key web ret');
    const keys = parsed.keys.map((held) => [...held]);
    const input = hold === undefined ? { name, keys } : { name, keys, holdMs: hold };
    const reply = await context.during(`typing to ${name}`, context.client.call('sendKeys', input));
    return fromReply(await withNearestName(context, name, reply), ({ sent }) => `${name}: ${sent} keys\n`);
  },
});
