/** Errors of the YAML parser in words for people who do not know YAML's grammar, at the place that must be mended. */
import { isCollection, isScalar, visit, type Document, type Node, type YAMLError } from 'yaml';
import { printable } from './key-path.ts';
import type { TextFault } from './scan-yaml.ts';

const words: Readonly<Partial<Record<YAMLError['code'], readonly [message: string, hint: string]>>> = {
  BAD_INDENT: [
    'this line does not begin in the column of its neighbours',
    'Keys that belong together begin in the same column.',
  ],
  BLOCK_AS_IMPLICIT_KEY: [
    'a key within the value of another',
    'Begin each key on a line of its own, in the column of its neighbours; put text that contains ": " in quotes.',
  ],
  MULTILINE_IMPLICIT_KEY: [
    'a key without ":", or text over several lines',
    'Put ": " behind the key, or quotes around the text.',
  ],
  TAB_AS_INDENT: ['a tab as indentation', 'Indent with spaces.'],
  BAD_SCALAR_START: ['a value that begins with a sign of YAML', 'Put it in quotes.'],
  BAD_DQ_ESCAPE: ['a backslash that YAML does not know', 'Write it twice, or use \'...\' instead of "...".'],
  UNEXPECTED_TOKEN: ['something that does not belong here', 'Is a quote or a line break missing before it?'],
};

/** Where the quotes or brackets that are open at `offset` begin. */
function openedAt(document: Document.Parsed, text: string, offset: number): number | undefined {
  let opened: number | undefined;
  visit(document, {
    Node: (_, node: Node) => {
      const [start, , end] = node.range ?? [offset, 0, 0];
      const delimited = isCollection(node) ? node.flow : isScalar(node) && node.type?.startsWith('QUOTE_');
      // The parser also makes collections of its own accord, which no bracket begins.
      const visible = /^["'[{]/.test(text.charAt(start));
      if (delimited === true && visible && start < offset && end >= offset) opened = start;
    },
  });
  return opened;
}

function faultOf(error: YAMLError, document: Document.Parsed, text: string): TextFault {
  const unclosed = error.code === 'MISSING_CHAR' || error.code === 'BAD_INDENT';
  const opened = unclosed ? openedAt(document, text, error.pos[0]) : undefined;
  if (opened !== undefined)
    return {
      offset: opened,
      message: `this ${text.charAt(opened)} is never closed`,
      hint: 'Close it where the value ends.',
    };
  const [message, hint] = words[error.code] ?? [
    printable(error.message, 160),
    'Compare it with an example in docs/definition.md.',
  ];
  return { offset: error.pos[0], message: `this is not YAML: ${message}`, hint };
}

/** One fault for each line: those that follow on the same line are consequences. */
export function syntaxFaults(
  document: Document.Parsed,
  text: string,
  lineOf: (offset: number) => number,
): readonly TextFault[] {
  const seen = new Set<number>();
  return document.errors
    .filter((error) => error.code !== 'MULTIPLE_DOCS')
    .map((error) => faultOf(error, document, text))
    .filter(({ offset }) => !seen.has(lineOf(offset)) && seen.add(lineOf(offset)));
}
