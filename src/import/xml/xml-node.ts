/** An XML document as a small tree: elements, attributes and texts, each with its line. Nothing else is kept. */

export interface XmlAttribute {
  readonly kind: 'attribute';
  readonly parent: XmlElement;
  /** Without prefix. */
  readonly name: string;
  /** Namespace; empty for none. A declaration (`xmlns`, `xmlns:qemu`) has that of declarations. */
  readonly uri: string;
  readonly value: string;
  readonly line: number;
}

export interface XmlText {
  readonly kind: 'text';
  readonly parent: XmlElement;
  /** Without the white space around it; never empty. */
  readonly value: string;
  readonly line: number;
}

export interface XmlElement {
  readonly kind: 'element';
  readonly parent: XmlElement | undefined;
  /** Without prefix. */
  readonly name: string;
  /** Namespace; empty for none. */
  readonly uri: string;
  readonly attributes: readonly XmlAttribute[];
  readonly children: readonly (XmlElement | XmlText)[];
  readonly line: number;
}

export type XmlNode = XmlElement | XmlAttribute | XmlText;

/** Elements right below, of one name and no namespace. */
export function childrenOf(element: XmlElement | undefined, name: string): readonly XmlElement[] {
  return (element?.children ?? []).filter(
    (child): child is XmlElement => child.kind === 'element' && child.name === name && child.uri === '',
  );
}

export function childOf(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((here, name) => childrenOf(here, name)[0], element);
}

/** Value of an attribute without namespace. */
export function attributeOf(element: XmlElement | undefined, name: string): string | undefined {
  return element?.attributes.find((one) => one.name === name && one.uri === '')?.value;
}

export function textOf(element: XmlElement | undefined): string {
  return (element?.children ?? []).map((child) => (child.kind === 'text' ? child.value : '')).join('');
}

/** The node and everything beneath it, in the order of the document. */
export function* nodesOf(element: XmlElement): Generator<XmlNode> {
  yield element;
  yield* element.attributes;
  for (const child of element.children)
    if (child.kind === 'element') yield* nodesOf(child);
    else yield child;
}
