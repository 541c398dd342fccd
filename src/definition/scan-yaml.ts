/**
 * What a definition may be as a text, before any tree is built of it: its size, depth and number of parts, and the
 * parts of YAML that are not taken. Linear in the text.
 */
import { CST, Lexer } from 'yaml';

export interface TextFault {
  readonly offset: number;
  readonly message: string;
  readonly hint: string;
}

export interface Scan {
  readonly faults: readonly TextFault[];
  /** The text must not be parsed. */
  readonly fatal: boolean;
}

export const maxSourceBytes = 256 * 1024;
const maxDepth = 32;
const maxTokens = 60_000;

const untaken: Readonly<Partial<Record<CST.TokenType, readonly [what: string, hint: string]>>> = {
  alias: ['aliases (*) are not taken', 'Write the value out.'],
  anchor: [
    'anchors (&) are not taken',
    'Write the value out where it is needed; put text that begins with & in quotes.',
  ],
  tag: ['tags (!) are not taken', 'Leave the tag out; put text that begins with ! in quotes.'],
  'directive-line': ['directives (%) are not taken', 'Leave the line out; definitions are YAML 1.2.'],
};

/**
 * How deep a token nests: open flow brackets, and the columns at which blocks began. Each column stands for two levels
 * at most, a mapping and a sequence at the same indentation.
 */
class Depth {
  readonly #columns: number[] = [];
  #flow = 0;
  #column = 0;
  #lineBegins = true;

  take(type: CST.TokenType | null, length: number): number {
    if (type === 'newline') [this.#column, this.#lineBegins] = [0, true];
    else if (type !== 'space' && type !== 'comment') this.#part(type);
    if (type !== 'newline') this.#column += length;
    return this.#flow + this.#columns.length;
  }

  #part(type: CST.TokenType | null): void {
    if (type === 'flow-seq-start' || type === 'flow-map-start') this.#flow++;
    else if (type === 'flow-seq-end' || type === 'flow-map-end') this.#flow = Math.max(0, this.#flow - 1);
    else if (type === 'flow-error-end') this.#flow = 0;
    else if (this.#flow === 0) {
      const opens = type === 'seq-item-ind' || type === 'explicit-key-ind' || type === 'map-value-ind';
      if (this.#lineBegins) while ((this.#columns.at(-1) ?? -1) >= this.#column) this.#columns.pop();
      if (opens || this.#lineBegins) this.#columns.push(this.#column);
    }
    this.#lineBegins = false;
  }
}

function scanTokens(text: string): Scan {
  const faults: TextFault[] = [];
  const depth = new Depth();
  let [offset, tokens, documentBegan] = [0, 0, false];
  let afterMark = false;
  for (const source of new Lexer().lex(text)) {
    const type = afterMark ? 'scalar' : CST.tokenType(source);
    const mark: boolean =
      !afterMark && (source === CST.SCALAR || source === CST.DOCUMENT || source === CST.FLOW_END);
    afterMark = mark && source === CST.SCALAR;
    // Marks of the lexer itself stand for no characters of the text (which has no control characters, see below).
    if (mark && source !== CST.FLOW_END) continue;
    const length = mark ? 0 : source.length;
    const fault = type === null ? undefined : untaken[type];
    if (fault !== undefined && faults.length < 100)
      faults.push({ offset, message: fault[0], hint: fault[1] });
    if (type === 'doc-start' && documentBegan)
      faults.push({
        offset,
        message: 'a second document begins here',
        hint: 'One file defines one machine; `qward apply DIR` takes many files.',
      });
    documentBegan ||=
      type !== 'newline' &&
      type !== 'space' &&
      type !== 'comment' &&
      type !== 'byte-order-mark' &&
      type !== 'directive-line';
    const stop = (message: string, hint: string): Scan => ({
      faults: [...faults, { offset, message, hint }],
      fatal: true,
    });
    if (depth.take(type, length) > maxDepth)
      return stop(`nested more than ${maxDepth} deep`, 'A definition needs six levels at most.');
    if (++tokens > maxTokens)
      return stop(
        `more than ${maxTokens} words and signs`,
        'Nothing that qward defines is so large; is it the right file?',
      );
    offset += length;
  }
  return { faults, fatal: false };
}

// SECURITY: rule YAML. What a user sends costs the manager little, whatever it is: size, depth and number of parts are
// bounded, and nothing can refer to something else, before a tree is built.
export function scanYaml(text: string): Scan {
  const fatal = (offset: number, message: string, hint: string): Scan => ({
    faults: [{ offset, message, hint }],
    fatal: true,
  });
  if (text.length > maxSourceBytes || Buffer.byteLength(text) > maxSourceBytes)
    return fatal(0, `larger than ${maxSourceBytes / 1024} KiB`, 'Is it the right file?');
  const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\r(?!\n)/.exec(text);
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).padStart(4, '0').toUpperCase();
    return fatal(control.index, `control character U+${code}`, 'Remove it; a definition is plain text.');
  }
  return scanTokens(text);
}
