/**
 * Changes one value within YAML text and leaves every other character as it is: comments, order, spaces, quotes. For
 * texts without anchors, aliases and tags (read-yaml.ts refuses them). Forms of YAML that people do not write, such as
 * `? key`, may come out wrong: the caller checks that nothing else changed (set.ts).
 */
import { isMap, isScalar, isSeq, parseDocument, type Pair, type YAMLMap, type YAMLSeq } from 'yaml';
import type { KeyPath } from './key-path.ts';
import { lineStart, nextLine, spliced, valueText, type NewValue } from './yaml-text.ts';

type Collection = YAMLMap | YAMLSeq;

/** What stands at one step of a path: a collection, and the place in it. */
interface Step {
  readonly within: Collection;
  readonly index: number;
}

function rangeOf(node: unknown): readonly [start: number, end: number] {
  if (isScalar(node) || isMap(node) || isSeq(node)) {
    const [start, end] = node.range ?? [0, 0];
    return [start, end];
  }
  return [0, 0];
}

/** Where the text of a node ends, without comments and line breaks that follow. */
function endOf(text: string, node: unknown): number {
  if ((isMap(node) || isSeq(node)) && node.flow !== true) {
    const last: unknown = node.items.at(-1);
    return last === undefined ? rangeOf(node)[1] : endOfItem(text, last);
  }
  const [start, end] = rangeOf(node);
  return start + text.slice(start, end).trimEnd().length;
}

const isPair = (item: unknown): item is Pair => typeof item === 'object' && item !== null && 'key' in item;

function endOfItem(text: string, item: unknown): number {
  if (!isPair(item)) return endOf(text, item);
  return item.value === null ? endOf(text, item.key) : endOf(text, item.value);
}

function startOfItem(item: unknown): number {
  return rangeOf(isPair(item) ? item.key : item)[0];
}

function indexIn(collection: Collection, part: string | number): number {
  if (isSeq(collection)) return typeof part === 'number' && part < collection.items.length ? part : -1;
  return collection.items.findIndex(({ key }) => isScalar(key) && key.value === part);
}

/** The steps of a path as far as the text has them. */
function stepsTo(root: unknown, path: KeyPath): readonly Step[] {
  const steps: Step[] = [];
  let node = root;
  for (const part of path) {
    if (!isMap(node) && !isSeq(node)) break;
    const index = indexIn(node, part);
    if (index === -1) break;
    steps.push({ within: node, index });
    const item: unknown = node.items[index];
    node = isPair(item) ? item.value : item;
  }
  return steps;
}

/** Takes an item out of `[a, b]` or `{a: 1, b: 2}`. */
function withoutFlowItem(text: string, { within, index }: Step): string {
  const start = startOfItem(within.items[index]);
  const end = endOfItem(text, within.items[index]);
  if (index > 0) return spliced(text, endOfItem(text, within.items[index - 1]), end, '');
  return spliced(text, start, within.items.length > 1 ? startOfItem(within.items[1]) : end, '');
}

/** Takes a key or list item out with its lines and the comment behind it; comments above it stay. */
function withoutBlockItem(text: string, { within, index }: Step): string {
  const start = startOfItem(within.items[index]);
  const until = nextLine(text, endOfItem(text, within.items[index]));
  const begin = lineStart(text, start);
  const before = text.slice(begin, start);
  if (isSeq(within) || before.trim() === '') return spliced(text, begin, until, '');
  // The first key behind "- ": the next one takes its place.
  const next = index === 0 && within.items.length > 1 ? startOfItem(within.items[1]) : undefined;
  return next === undefined ? text : spliced(text, start, next, '');
}

function withoutValue(text: string, steps: readonly Step[]): string {
  // What would be left empty goes too, except for the definition itself.
  let depth = steps.length - 1;
  while (depth > 0 && steps[depth]?.within.items.length === 1) depth--;
  const step = steps[depth];
  if (step === undefined) return text;
  return step.within.flow === true ? withoutFlowItem(text, step) : withoutBlockItem(text, step);
}

/** A block list keeps the lines, and so the comments, of the items that stay in their order. */
function withBlockList(text: string, list: YAMLSeq, values: readonly string[]): string | undefined {
  const old = list.items.map((item) => (isScalar(item) ? item.value : undefined));
  const kept = old.filter((item) => typeof item === 'string' && values.includes(item));
  if (kept.length === 0 || !kept.every((item, index) => item === values[index])) return undefined;
  const begin = lineStart(text, startOfItem(list.items[0]));
  const indent = text.slice(begin, startOfItem(list.items[0]));
  const end = nextLine(text, endOf(text, list));
  const added = values.slice(kept.length).map((item) => `${indent}${valueText(item)}\n`);
  const broken = text[end - 1] === '\n' ? '' : '\n';
  let result = added.length === 0 ? text : spliced(text, end, end, broken + added.join(''));
  for (let index = old.length - 1; index >= 0; index--)
    if (!kept.includes(old[index])) result = withoutBlockItem(result, { within: list, index });
  return result;
}

const isText = (item: unknown): item is string => typeof item === 'string';

function withOtherValue(text: string, { within, index }: Step, value: NewValue): string {
  const item: unknown = within.items[index];
  const node = isPair(item) ? item.value : item;
  const lines =
    isSeq(node) && node.flow !== true && typeof value === 'object' && value.every(isText)
      ? withBlockList(text, node, value)
      : undefined;
  if (lines !== undefined) return lines;
  const key = isPair(item) ? item.key : undefined;
  const block = (isSeq(node) || isMap(node)) && node.flow !== true;
  // A block begins on the line below its key; what replaces it stands behind the colon.
  const start = block && key !== undefined ? text.indexOf(':', rangeOf(key)[1]) + 1 : rangeOf(node)[0];
  return spliced(text, start, endOf(text, node), `${block ? ' ' : ''}${valueText(value)}`);
}

/** `a: {b: 1}` as text, for keys that are all missing: on one line between brackets, else on lines of their own. */
function newKeys(names: readonly string[], value: NewValue, indent: string | undefined): string {
  const [name, ...rest] = names;
  if (rest.length === 0) return `${name}: ${valueText(value)}`;
  if (indent === undefined) return `${name}: { ${newKeys(rest, value, undefined)} }`;
  return `${name}:\n${indent}  ${newKeys(rest, value, `${indent}  `)}`;
}

function withNewKeys(text: string, map: YAMLMap, names: readonly string[], value: NewValue): string {
  const last = map.items.at(-1);
  if (map.flow === true || last === undefined) {
    const added = newKeys(names, value, undefined);
    if (last === undefined) return spliced(text, ...rangeOf(map), `{ ${added} }`);
    const end = endOfItem(text, last);
    return spliced(text, end, end, `, ${added}`);
  }
  const first = startOfItem(map.items[0]);
  const indent = ' '.repeat(first - lineStart(text, first));
  const end = nextLine(text, endOfItem(text, last));
  const broken = text[end - 1] === '\n' ? '' : '\n';
  return spliced(text, end, end, `${broken}${indent}${newKeys(names, value, indent)}\n`);
}

/** The text with the value at `path` set, or taken out where `value` is null; undefined where the path leads nowhere. */
export function spliceYaml(text: string, path: KeyPath, value: NewValue | null): string | undefined {
  const root = parseDocument(text, { prettyErrors: false, uniqueKeys: false, logLevel: 'silent' }).contents;
  const steps = stepsTo(root, path);
  const last = steps.at(-1);
  if (steps.length === path.length && last !== undefined)
    return value === null ? withoutValue(text, steps) : withOtherValue(text, last, value);
  if (value === null) return text;
  const item: unknown = last === undefined ? undefined : last.within.items[last.index];
  const map = last === undefined ? root : isPair(item) ? item.value : item;
  const names = path.slice(steps.length).filter((part) => typeof part === 'string');
  if (!isMap(map) || names.length !== path.length - steps.length) return undefined;
  return withNewKeys(text, map, names, value);
}
