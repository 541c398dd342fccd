/** Goes through a document once and gives each element, attribute and text its verdict, by the table. */
import { isDeclaration } from '../xml/parse-xml.ts';
import { nodesOf, type XmlAttribute, type XmlElement, type XmlNode, type XmlText } from '../xml/xml-node.ts';
import { imported, unsupported, whole, type Verdict } from '../verdict.ts';
import type { DomainDraft } from './domain-draft.ts';
import { noKey } from './phrases.ts';
import type { DomainPart, How, Outcome, Place, RuleTable } from './rule-table.ts';

/** Namespaces that rules know, by the prefix that they use. */
const prefixes: Readonly<Record<string, string>> = {
  'http://libvirt.org/schemas/domain/qemu/1.0': 'qemu:',
  'http://libosinfo.org/xmlns/libvirt/domain/1.0': 'libosinfo:',
  'urn:qward:machine:1': 'qward:',
};

export interface Judgement {
  readonly verdict: Verdict;
  /** It stands for an element above that has the note. */
  readonly quiet: boolean;
}

export const nameInRules = ({ uri, name }: XmlElement | XmlAttribute): string =>
  uri === '' ? name : `${prefixes[uri] ?? `{${uri}}`}${name}`;

const segmentOf = (node: XmlNode): string =>
  node.kind === 'text' ? '#' : node.kind === 'attribute' ? `@${nameInRules(node)}` : nameInRules(node);

export class Walk {
  readonly judgements = new Map<XmlNode, Judgement>();
  readonly #draft: DomainDraft;
  readonly #table: RuleTable;

  constructor(draft: DomainDraft, table: RuleTable) {
    this.#draft = draft;
    this.#table = table;
    this.#element(draft.root, [], draft.machine);
  }

  /** Says of an element, and of all beneath, what was found out later. */
  overrule(node: XmlNode, verdict: Verdict): void {
    this.judgements.set(node, { verdict, quiet: false });
    if (node.kind === 'element' && verdict.whole === true) this.#all(node, verdict);
  }

  #all(element: XmlElement, verdict: Verdict): void {
    for (const node of nodesOf(element))
      if (node !== element) this.judgements.set(node, { verdict, quiet: true });
  }

  #judge(node: XmlNode, path: readonly string[], part: DomainPart): Outcome {
    if (node.kind === 'attribute' && isDeclaration(node)) return imported;
    const { how, inner } = this.#table.find(path);
    if (how === undefined) return inner ? imported : whole(unsupported(noKey));
    return typeof how === 'function' ? this.#ask(how, node, part) : how;
  }

  #ask(how: Exclude<How, Verdict>, node: XmlNode, part: DomainPart): Outcome {
    const draft = this.#draft;
    const place: Place = {
      node,
      value: node.kind === 'element' ? '' : node.value,
      element: node.kind === 'element' ? node : node.parent,
      draft,
      part,
      set: (key, value) => draft.set(part, key, value, node),
      include: (key, word) => draft.include(draft.machine, key, word, node),
      append: (key, item) => draft.append(draft.machine, key, item, node),
      setMachine: (key, value) => draft.set(draft.machine, key, value, node),
    };
    return how(place);
  }

  #element(element: XmlElement, path: readonly string[], part: DomainPart): void {
    const outcome = path.length === 0 ? imported : this.#judge(element, path, part);
    const { part: own, ...verdict } = outcome as Outcome;
    this.judgements.set(element, { verdict, quiet: false });
    if (verdict.whole === true) return this.#all(element, verdict);
    const below = own ?? part;
    const leaf = (node: XmlAttribute | XmlText): void => {
      const { part: _, ...judged } = this.#judge(node, [...path, segmentOf(node)], below);
      this.judgements.set(node, { verdict: judged, quiet: false });
    };
    element.attributes.forEach(leaf);
    for (const child of element.children)
      if (child.kind === 'text') leaf(child);
      else this.#element(child, [...path, segmentOf(child)], below);
  }
}
