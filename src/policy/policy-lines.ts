/** Where each key of the policy's file stands. For people: neither broker nor admission uses it. */
import { ownRuleText } from '../protocol/rules.ts';
import { withoutComments } from './parse-policy.ts';

/** Both from 1; columns count UTF-16 units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface PolicyLines {
  /** Of `ceilings.memory` where its name stands, of `storageRoots[1]` where the item begins; of two, the last. */
  readonly positionOf: (key: string) => Position | undefined;
  /** Keys that stand in one place a second time. */
  readonly twice: readonly { readonly key: string; readonly position: Position }[];
  /** Where the text stops being JSON with comments. */
  readonly broken: Position | undefined;
}

const token =
  /[ \t\n\r]*(?:("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|([{}[\],:])|(true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?))/y;

/** Policies nest four levels deep; what lies deeper is none's key. */
const maxDepth = 8;

/** An object or list around the place, and what is expected in it next. */
interface Level {
  readonly path: string;
  readonly list: boolean;
  /** Items of a list so far. */
  items: number;
  key: string;
  next: 'key' | 'first key' | 'colon' | 'value' | 'first value' | 'comma';
}

/** Takes any text. */
export function findLines(text: string): PolicyLines {
  const plain = withoutComments(text);
  const positionAt = (offset: number): Position => {
    const before = plain.slice(0, offset).split('\n');
    return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
  };
  const { offsets, twice, broken } = scan(plain);
  return {
    positionOf: (key) => {
      const offset = offsets.get(key);
      return offset === undefined ? undefined : positionAt(offset);
    },
    twice: twice.map(({ key, offset }) => ({ key, position: positionAt(offset) })),
    broken: broken === undefined ? undefined : positionAt(broken),
  };
}

interface Scan {
  readonly offsets: Map<string, number>;
  readonly twice: { readonly key: string; readonly offset: number }[];
  readonly broken: number | undefined;
}

function scan(plain: string): Scan {
  const offsets: Scan['offsets'] = new Map();
  const twice: Scan['twice'] = [];
  const levels: Level[] = [{ path: '', list: false, items: 0, key: '', next: 'value' }];
  let end = 0;
  for (;;) {
    token.lastIndex = end;
    const found = token.exec(plain);
    const word = found?.[1] ?? found?.[2] ?? found?.[3] ?? '';
    const place = found === null ? undefined : step(levels, word);
    if (found === null || place === undefined) break;
    end += found[0].length;
    const offset = end - word.length;
    if (place === '' || levels.length > maxDepth) continue;
    if (offsets.has(place)) twice.push({ key: place, offset });
    offsets.set(place, offset);
  }
  const rest = plain.slice(end);
  const whole = levels.length === 1 && levels[0]?.next === 'comma' && /^[ \t\n\r]*$/.test(rest);
  return { offsets, twice, broken: whole ? undefined : end + rest.search(/[^ \t\n\r]|$/) };
}

/** The path that this word is the place of; empty: of none. Undefined: not what JSON has here. */
function step(levels: Level[], word: string): string | undefined {
  const level = levels.at(-1);
  if (level === undefined || (levels.length === 1 && level.next === 'comma')) return undefined;
  const isKey = level.next.endsWith('key') && word.startsWith('"');
  if (isKey) {
    level.key = nameOf(word);
    level.next = 'colon';
    return pathOf(level);
  }
  if (word === (level.list ? ']' : '}')) return close(levels, level);
  if (level.next === 'colon' || level.next === 'comma') return separate(level, word);
  if (!level.next.endsWith('value') || /^[\]},:]/.test(word)) return undefined;
  const place = level.list ? pathOf(level) : '';
  const path = pathOf(level);
  level.items += 1;
  level.next = 'comma';
  if (word === '{' || word === '[') {
    const list = word === '[';
    levels.push({
      path: levels.length < maxDepth ? path : '',
      list,
      items: 0,
      key: '',
      next: list ? 'first value' : 'first key',
    });
  }
  return place;
}

function separate(level: Level, word: string): '' | undefined {
  if (word !== (level.next === 'colon' ? ':' : ',')) return undefined;
  if (level.next === 'colon' || level.list) level.next = 'value';
  else level.next = 'key';
  return '';
}

function close(levels: Level[], level: Level): '' | undefined {
  if (levels.length === 1 || !(level.next === 'comma' || level.next.startsWith('first'))) return undefined;
  levels.pop();
  return '';
}

function pathOf({ path, list, items, key }: Level): string {
  if (list) return `${path}[${items}]`;
  return path === '' ? key : `${path}.${key}`;
}

function nameOf(word: string): string {
  try {
    return String(JSON.parse(word));
  } catch {
    return word;
  }
}

/** Where a rule stands; for a key that an item of a list does not give, the item. Undefined: the file does not say it. */
export function positionOfRule(lines: PolicyLines, rule: string): Position | undefined {
  return lines.positionOf(rule) ?? lines.positionOf(/^.*\]/.exec(rule)?.[0] ?? rule);
}

/**
 * `/etc/qward/policy.json line 12 (storageRoots[1])`; where the file does not say it, `default of ... (storageRoots)`; of a
 * rule that no policy changes, its name and words.
 */
export function ruleText(path: string, lines: PolicyLines, rule: string): string {
  const own = ownRuleText(rule);
  if (own !== undefined) return own;
  const position = positionOfRule(lines, rule);
  return position === undefined ? `default of ${path} (${rule})` : `${path} line ${position.line} (${rule})`;
}
