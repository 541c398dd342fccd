/**
 * The table of rules: a pattern for each element, attribute and text that a domain of libvirt may have, and what becomes of
 * it. A pattern is a path, `devices/disk/driver@cache`; `#` is an element's text, `*` any one name, `**` all beneath.
 */
import type { XmlElement, XmlNode } from '../xml/xml-node.ts';
import type { Plain } from '../../definition/key-path.ts';
import type { Part } from '../machine-draft.ts';
import type { Verdict } from '../verdict.ts';
import type { DomainDraft } from './domain-draft.ts';

export type DomainPart = Part<XmlNode>;

/** A node, and what a rule may do about it. */
export interface Place {
  readonly node: XmlNode;
  /** Of an attribute or text its value; empty for an element. */
  readonly value: string;
  /** The element itself, or the one that the attribute or text is of. */
  readonly element: XmlElement;
  readonly draft: DomainDraft;
  /** The disk, card or other part that the node belongs to; the machine outside of them. */
  readonly part: DomainPart;
  /** Sets a key of the part. */
  set(key: string, value: Plain): Verdict;
  /** One more item of a list of the machine's. */
  append(key: string, item: Plain): Verdict;
  /** The same for words that are there once. */
  include(key: string, word: string): Verdict;
  /** Sets a key of the machine. */
  setMachine(key: string, value: Plain): Verdict;
}

/** Nodes beneath belong to `part`. */
export type Outcome = Verdict & { readonly part?: DomainPart };
export type How = Verdict | ((place: Place) => Outcome);
export type Rules = Readonly<Record<string, How>>;

interface Branch {
  readonly below: Map<string, Branch>;
  how?: How;
  /** For the node and all beneath. */
  all?: How;
}

export interface Found {
  /** undefined: the table has nothing for it. */
  readonly how: How | undefined;
  /** There are rules for something beneath. */
  readonly inner: boolean;
}

const segments = (pattern: string): readonly string[] =>
  pattern.replaceAll('@', '/@').replaceAll('#', '/#').split('/').filter(Boolean);

export class RuleTable {
  readonly #root: Branch = { below: new Map() };

  constructor(...tables: readonly Rules[]) {
    for (const [pattern, how] of tables.flatMap((table) => Object.entries(table))) {
      const path = segments(pattern);
      const all = path.at(-1) === '**';
      let branch = this.#root;
      for (const name of all ? path.slice(0, -1) : path) {
        const next: Branch = branch.below.get(name) ?? { below: new Map() };
        branch.below.set(name, next);
        branch = next;
      }
      if (branch[all ? 'all' : 'how'] !== undefined) throw new Error(`two rules for ${pattern}`);
      branch[all ? 'all' : 'how'] = how;
    }
  }

  /** The rule for a path of names, as in patterns. A name in full comes before `*`, and both before `**`. */
  find(path: readonly string[]): Found {
    let branches: readonly Branch[] = [this.#root];
    let all: How | undefined;
    for (const name of path) {
      branches = branches.flatMap(({ below }) => {
        const any = name.startsWith('@') || name === '#' ? undefined : below.get('*');
        return [below.get(name), any].filter((one) => one !== undefined);
      });
      all = branches.find((one) => one.all !== undefined)?.all ?? all;
    }
    const how = branches.find((one) => one.how !== undefined)?.how ?? all;
    return { how, inner: branches.some(({ below }) => below.size > 0) };
  }
}
