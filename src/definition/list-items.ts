/** One more item in a list of a definition's text; comments and everything else stay as they were written. */
import { isMap, isSeq, parseDocument } from 'yaml';
import { changeFault } from './change-key.ts';
import { checkedSource, type ChangedSource } from './apply-change.ts';
import { isPlainMap, valueAt, type Plain, type PlainMap } from './key-path.ts';
import { readYaml } from './read-yaml.ts';
import { lineStart, nextLine, spliced } from './yaml-text.ts';

/** `source` must be a definition without faults. */
export function addToList(
  source: string,
  list: 'disks' | 'nics' | 'hostDevices',
  item: PlainMap,
): ChangedSource {
  const text = withItem(source, list, JSON.stringify(item));
  if (text !== undefined && isOnlyChange(source, text, { list, item })) return checkedSource(text);
  const message = 'cannot be added to in the way this definition is written';
  return { ok: false, faults: [changeFault(list, message, 'Use `qward edit`.')] };
}

/** JSON is YAML. */
function withItem(text: string, list: string, item: string): string | undefined {
  const root = parseDocument(text, { prettyErrors: false, uniqueKeys: false, logLevel: 'silent' }).contents;
  if (!isMap(root)) return undefined;
  const items: unknown = root.get(list, true);
  if (isSeq(items) && items.flow === true) {
    const close = text.lastIndexOf(']', items.range?.[1] ?? 0);
    return spliced(text, close, close, `${items.items.length === 0 ? '' : ', '}${item}`);
  }
  if (isSeq(items)) {
    const start = items.range?.[0] ?? 0;
    const end = nextLine(text, text.slice(0, items.range?.[1]).trimEnd().length);
    const indent = text.slice(lineStart(text, start), start);
    return spliced(text, end, end, `${text[end - 1] === '\n' ? '' : '\n'}${indent}- ${item}\n`);
  }
  if (root.flow === true || root.has(list)) return undefined;
  return `${text}${text.endsWith('\n') ? '' : '\n'}${list}:\n  - ${item}\n`;
}

function isOnlyChange(
  before: string,
  after: string,
  { list, item }: { readonly list: string; readonly item: PlainMap },
): boolean {
  const [old, now] = [readYaml(before).value, readYaml(after)];
  if (now.faults.length > 0 || !isPlainMap(old)) return false;
  const items = valueAt(old, [list]);
  const wanted: Plain = {
    ...old,
    [list]: [...(Array.isArray(items) ? (items as readonly Plain[]) : []), item],
  };
  return sorted(now.value) === sorted(wanted);
}

function sorted(value: Plain): string {
  if (!isPlainMap(value)) return JSON.stringify(value);
  return JSON.stringify(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
