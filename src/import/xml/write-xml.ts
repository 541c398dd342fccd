/** XML as text, in the form that libvirt has: two spaces, single quotes. */

export interface XmlTree {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly children: readonly XmlTree[];
  readonly text: string | undefined;
}

/** An element; children that are undefined are left out, and so are attributes. */
export function element(
  name: string,
  attributes: XmlTree['attributes'] = {},
  ...children: readonly (XmlTree | undefined)[]
): XmlTree {
  return { name, attributes, children: children.filter((child) => child !== undefined), text: undefined };
}

export function textElement(
  name: string,
  text: string | number,
  attributes: XmlTree['attributes'] = {},
): XmlTree {
  return { name, attributes, children: [], text: String(text) };
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '\n': '&#10;',
  '\t': '&#9;',
  '\r': '&#13;',
};

// SECURITY: rule XML. No value ends its attribute or text; characters that XML does not have at all are none of a definition's.
const escaped = (text: string): string =>
  text.replaceAll(/[&<>'\n\t\r]/g, (character) => escapes[character] ?? '');

export function writeXml(tree: XmlTree, indent = ''): string {
  const attributes = Object.entries(tree.attributes).flatMap(([name, value]) =>
    value === undefined ? [] : [` ${name}='${escaped(String(value))}'`],
  );
  const start = `${indent}<${tree.name}${attributes.join('')}`;
  if (tree.text !== undefined) return `${start}>${escaped(tree.text)}</${tree.name}>\n`;
  if (tree.children.length === 0) return `${start}/>\n`;
  const inner = tree.children.map((child) => writeXml(child, `${indent}  `)).join('');
  return `${start}>\n${inner}${indent}</${tree.name}>\n`;
}
