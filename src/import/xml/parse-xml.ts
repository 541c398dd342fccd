/**
 * XML of strangers to a tree.
 *
 * SECURITY: rule XML. No document type, so no entities of the document's own and nothing that is fetched; bounded in size,
 * depth and number of nodes before anything is made of it. saxes knows the five entities of XML and opens nothing.
 */
import { SaxesParser } from 'saxes';
import type { XmlAttribute, XmlElement, XmlText } from './xml-node.ts';

export interface XmlFault {
  readonly message: string;
  readonly hint: string;
  readonly line: number;
  readonly column: number;
}

export type XmlReading =
  /** Several documents may follow each other, as programs print them. */
  | { readonly ok: true; readonly roots: readonly XmlElement[] }
  | { readonly ok: false; readonly fault: XmlFault };

/** Far above every domain of libvirt's own tests, which are 40 KiB, 9 deep and 1,500 nodes at most. */
export const xmlLimits = { bytes: 1024 * 1024, depth: 64, nodes: 50_000 } as const;

const declarations = 'http://www.w3.org/2000/xmlns/';

/** What ends the reading; thrown within this file only, since saxes has no other way to stop. */
class Stop extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

type OpenElement = { -readonly [Key in keyof XmlElement]: XmlElement[Key] };

/** Collects the tree of one document from the events of the parser. */
class TreeBuilder {
  readonly roots: XmlElement[] = [];
  readonly #open: { readonly element: OpenElement; readonly children: (XmlElement | XmlText)[] }[] = [];
  #nodes = 0;
  #text = '';
  #textLine = 1;

  begin(name: string, uri: string, line: number): XmlElement {
    if (this.#open.length >= xmlLimits.depth)
      throw new Stop(
        `elements are more than ${xmlLimits.depth} deep`,
        'No description of a machine is; look at the file.',
      );
    this.#count();
    this.#flush();
    const children: (XmlElement | XmlText)[] = [];
    const above = this.#open.at(-1);
    const element: OpenElement = {
      kind: 'element',
      parent: above?.element,
      name,
      uri,
      attributes: [],
      children,
      line,
    };
    if (above === undefined) this.roots.push(element);
    else above.children.push(element);
    this.#open.push({ element, children });
    return element;
  }

  /** Attributes are known only once the element's tag is read to its end. */
  attributes(attributes: readonly XmlAttribute[]): void {
    for (const _ of attributes) this.#count();
    const open = this.#open.at(-1);
    if (open !== undefined) open.element.attributes = attributes;
  }

  text(text: string, line: number): void {
    if (this.#open.length === 0) {
      if (text.trim() === '') return;
      throw new Stop(
        'this is no XML: there is text outside of elements',
        'Give a whole document, from <domain> to </domain>.',
      );
    }
    if (this.#text === '') this.#textLine = line;
    this.#text += text;
  }

  end(): void {
    this.#flush();
    this.#open.pop();
  }

  #flush(): void {
    const before = this.#text.trimStart();
    const value = before.trimEnd();
    const open = this.#open.at(-1);
    if (value !== '' && open !== undefined) {
      this.#count();
      const skipped = this.#text.slice(0, this.#text.length - before.length).split('\n').length - 1;
      open.children.push({ kind: 'text', parent: open.element, value, line: this.#textLine + skipped });
    }
    this.#text = '';
  }

  #count(): void {
    this.#nodes += 1;
    if (this.#nodes > xmlLimits.nodes)
      throw new Stop(
        `there are more than ${xmlLimits.nodes} elements, attributes and texts`,
        'No description of a machine has so many; look at the file.',
      );
  }
}

const noDocumentType = {
  message: 'a document type (<!DOCTYPE …>) is not taken',
  hint: 'Descriptions of machines need none. It can define entities, which read files or fill the memory; remove it.',
} as const;

/** What saxes says, without the place that it puts before it, and in our words where it is a matter of namespaces. */
function wordsOf(error: Error): { readonly message: string; readonly hint: string } {
  const said = error.message.replace(/^(?:[^:]*:)?\d+:\d+: /, '').replace(/\.$/, '');
  if (said.includes('doctype')) return noDocumentType;
  const prefix = /^unbound namespace prefix: (?:")?([^"]*)/.exec(said)?.[1];
  if (prefix === undefined) return { message: `this is no XML: ${said}`, hint: 'Mend the line.' };
  const known = prefix === 'qemu' ? 'http://libvirt.org/schemas/domain/qemu/1.0' : 'ADDRESS';
  const dropped = prefix === 'qemu' ? ' libvirt would drop these elements without a word.' : '';
  return {
    message: `the prefix "${prefix}:" is not declared`,
    hint: `Write <domain xmlns:${prefix}='${known}' …>, or declare it where it is used.${dropped}`,
  };
}

/** Never throws. The first fault ends the reading. */
export function parseXml(text: string): XmlReading {
  // Code units are at least as many as a third of the bytes; the caller has bounded the bytes already.
  if (text.length > xmlLimits.bytes) {
    const message = `the document is larger than ${xmlLimits.bytes / 1024} KiB`;
    const hint = 'No description of a machine is; look at the file.';
    return { ok: false, fault: { message, hint, line: 1, column: 1 } };
  }
  const parser = new SaxesParser({ xmlns: true, fragment: true });
  const tree = new TreeBuilder();
  let started = 1;
  const lines: number[] = [];
  const fail = (error: Error): never => {
    throw error;
  };
  parser.on('error', fail);
  parser.on('doctype', () => fail(new Stop(noDocumentType.message, noDocumentType.hint)));
  parser.on('xmldecl', ({ encoding }) => {
    if (encoding !== undefined && !/^(?:utf-?8|us-ascii)$/i.test(encoding))
      throw new Stop(`the encoding ${encoding} is not taken`, 'Convert the file to UTF-8: iconv -t UTF-8.');
  });
  parser.on('opentagstart', () => {
    started = parser.line;
    lines.length = 0;
  });
  parser.on('attribute', () => void lines.push(parser.line));
  parser.on('opentag', (tag) => {
    const element = tree.begin(tag.local, tag.uri, started);
    tree.attributes(
      Object.values(tag.attributes).map((one, index) => ({
        kind: 'attribute',
        parent: element,
        name: one.prefix === '' ? one.name : one.local,
        uri: one.name === 'xmlns' ? declarations : one.uri,
        value: one.value,
        line: lines[index] ?? started,
      })),
    );
  });
  const characters = (data: string): void => tree.text(data, parser.line - (data.split('\n').length - 1));
  parser.on('text', characters);
  parser.on('cdata', characters);
  parser.on('closetag', () => tree.end());
  try {
    parser.write(text.replace(/^\ufeff/, '')).close();
    if (tree.roots.length === 0)
      throw new Stop('there is no element in it', 'Give a whole document, from <domain> to </domain>.');
    return { ok: true, roots: tree.roots };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const said = error instanceof Stop ? error : wordsOf(error);
    const place = { line: Math.max(parser.line, 1), column: parser.column + 1 };
    return { ok: false, fault: { message: said.message, hint: said.hint, ...place } };
  }
}

export const isDeclaration = (attribute: XmlAttribute): boolean => attribute.uri === declarations;
