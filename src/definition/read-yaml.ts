/** A definition's text as plain data, with the place of every value in the text and all that is wrong with it as YAML. */
import { isMap, isScalar, isSeq, parseDocument, type YAMLMap } from 'yaml';
import { keyLabel, startsWith, type KeyPath, type Plain, type PlainMap } from './key-path.ts';
import { scanYaml, type TextFault } from './scan-yaml.ts';
import { syntaxFaults } from './syntax-faults.ts';
import { entriesOf, offsetOf } from './yaml-tree.ts';
import { positionFinder, type TextPosition } from './text-position.ts';

export interface YamlFault extends TextFault {
  readonly path: KeyPath;
}

export interface YamlReading {
  /** Faults of the text as YAML; where there are any, `value` is what could be made of it. */
  readonly faults: readonly YamlFault[];
  /** The tree may be wrong, not only incomplete. */
  readonly malformed: boolean;
  /** Nothing could be read. */
  readonly fatal: boolean;
  readonly value: Plain;
  /** Whether what is at a path was refused already, so that nothing more need be said about it. */
  readonly refused: (path: KeyPath) => boolean;
  /** Offset of the key or value at a path, or of the nearest thing around it that is there. */
  readonly offsetOf: (path: KeyPath, what: 'key' | 'value') => number;
  readonly positionOf: (offset: number) => TextPosition;
}

/** Makes plain data of a tree, and notes what plain data cannot say: keys that are there twice or are no words. */
class PlainReader {
  readonly faults: YamlFault[] = [];
  readonly refused: KeyPath[] = [];
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  read(node: unknown, path: KeyPath): Plain {
    if (isMap(node)) return this.#map(node, path);
    if (isSeq(node)) return node.items.map((item, index) => this.read(item, [...path, index]));
    if (isScalar(node)) {
      const { value } = node;
      return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
        ? value
        : null;
    }
    if (node !== null && node !== undefined) this.refused.push(path);
    return null;
  }

  #map(map: YAMLMap, path: KeyPath): PlainMap {
    const values = new Map<string, Plain>();
    for (const { key, offset, value, broken } of entriesOf(map, this.#text)) {
      if (key === undefined || key === '' || key === '__proto__')
        this.faults.push({
          offset,
          path,
          message: 'a key that is not a word',
          hint: 'Keys are words, such as memory.',
        });
      else if (values.has(key))
        this.faults.push({
          offset,
          path: [...path, key],
          message: 'this key is there a second time',
          hint: 'Keep one of the two.',
        });
      else if (broken) {
        this.refused.push([...path, key]);
        values.set(key, null);
      } else values.set(key, this.read(value, [...path, key]));
    }
    return Object.fromEntries(values);
  }
}

export function readYaml(text: string): YamlReading {
  const positionOf = positionFinder(text);
  const lineOf = (offset: number): number => positionOf(offset).line;
  const scan = scanYaml(text);
  const scanned = scan.faults.map((fault) => ({ ...fault, path: [] }));
  const nothing = { value: null, refused: () => false, offsetOf: () => 0, positionOf };
  if (scan.fatal) return { ...nothing, faults: scanned, malformed: true, fatal: true };
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    prettyErrors: false,
    // Looking for equal keys takes the parser quadratic time; PlainReader does it.
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const reader = new PlainReader(text);
  const value = reader.read(document.contents, []);
  const untaken = new Set(scan.faults.map((fault) => lineOf(fault.offset)));
  const syntax = syntaxFaults(document, text, lineOf)
    .filter((fault) => !untaken.has(lineOf(fault.offset)))
    .map((fault) => ({ ...fault, path: [] }));
  const faults = [...scanned, ...syntax, ...reader.faults];
  return {
    faults: faults.map((fault) => ({ ...fault, message: labelled(fault, value) })),
    malformed: syntax.length > 0,
    fatal: false,
    value,
    refused: (path) => reader.refused.some((refused) => startsWith(path, refused)),
    offsetOf: (path, what) => offsetOf(document.contents, text, path, what),
    positionOf,
  };
}

function labelled(fault: YamlFault, root: Plain): string {
  return fault.path.length === 0 ? fault.message : `${keyLabel(fault.path, root)}: ${fault.message}`;
}
