/** Keys of a keyboard by QEMU's names (QKeyCode in qapi/ui.json, 7.2), and how text is typed on one with the layout of the United States. */

const numbered = (prefix: string, from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `${prefix}${from + index}`);
const words = (text: string): string[] => text.trim().split(/\s+/);

export const keyNames: readonly string[] = [
  ...words('a b c d e f g h i j k l m n o p q r s t u v w x y z'),
  ...numbered('', 0, 9),
  ...numbered('f', 1, 24),
  ...numbered('kp_', 0, 9),
  ...words(`
    shift shift_r ctrl ctrl_r alt alt_r meta_l meta_r menu compose caps_lock num_lock scroll_lock
    esc ret tab spc backspace insert delete home end pgup pgdn up down left right print sysrq pause
    minus equal bracket_left bracket_right semicolon apostrophe grave_accent backslash comma dot slash less asterisk
    kp_divide kp_multiply kp_subtract kp_add kp_enter kp_decimal kp_comma kp_equals
    power sleep wake volumeup volumedown audiomute ro yen henkan muhenkan hiragana lang1 lang2`),
];
export type KeyName = string;

const known: ReadonlySet<string> = new Set(keyNames);

/** What people write for some of them. */
const aliases: Readonly<Record<string, KeyName>> = {
  control: 'ctrl',
  del: 'delete',
  enter: 'ret',
  return: 'ret',
  escape: 'esc',
  space: 'spc',
  meta: 'meta_l',
  win: 'meta_l',
  super: 'meta_l',
  pageup: 'pgup',
  pagedown: 'pgdn',
  ins: 'insert',
  period: 'dot',
};

export const isKey = (name: string): boolean => known.has(name);

/** `ctrl-alt-delete` as the keys that are held together; undefined where one of them is none. */
export function parseCombination(text: string): readonly KeyName[] | undefined {
  const keys = text
    .toLowerCase()
    .split('-')
    .map((word) => (Object.hasOwn(aliases, word) ? (aliases[word] ?? word) : word));
  return keys.every(isKey) ? keys : undefined;
}

/** Characters beside letters and digits: the key, and the character that it gives with Shift. */
const punctuation: readonly (readonly [KeyName, plain: string, shifted: string])[] = [
  ['grave_accent', '`', '~'],
  ['minus', '-', '_'],
  ['equal', '=', '+'],
  ['bracket_left', '[', '{'],
  ['bracket_right', ']', '}'],
  ['backslash', '\\', '|'],
  ['semicolon', ';', ':'],
  ['apostrophe', "'", '"'],
  ['comma', ',', '<'],
  ['dot', '.', '>'],
  ['slash', '/', '?'],
  ['spc', ' ', ''],
  ['ret', '\n', ''],
  ['tab', '\t', ''],
];
const overDigits = ')!@#$%^&*(';

/** The keys that type one character; undefined: the layout has none. */
function keysFor(character: string): readonly KeyName[] | undefined {
  if (/^[a-z0-9]$/.test(character)) return [character];
  if (/^[A-Z]$/.test(character)) return ['shift', character.toLowerCase()];
  const digit = overDigits.indexOf(character);
  if (digit >= 0) return ['shift', String(digit)];
  for (const [key, plain, shifted] of punctuation) {
    if (character === plain) return [key];
    if (character === shifted) return ['shift', key];
  }
  return undefined;
}

export type TypedText =
  | { readonly ok: true; readonly keys: readonly (readonly KeyName[])[] }
  | { readonly ok: false; readonly character: string };

/** The combinations that type a text, or its first character that this keyboard does not have. */
export function keysOfText(text: string): TypedText {
  const keys: (readonly KeyName[])[] = [];
  for (const character of text) {
    const combination = keysFor(character);
    if (combination === undefined) return { ok: false, character };
    keys.push(combination);
  }
  return { ok: true, keys };
}
