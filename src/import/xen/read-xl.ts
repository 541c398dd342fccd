/** The language of xl.cfg: `key = "text"`, `key = 5`, `key = [ "a", "b" ]`; a list may span lines. */

export interface XlSetting {
  readonly key: string;
  /** One item where it is no list. */
  readonly values: readonly string[];
  readonly line: number;
}

export interface XlFault {
  readonly message: string;
  readonly hint: string;
  readonly line: number;
}

const token = /\s*(?:#[^\n]*|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|([[\],=;])|([^\s"'#[\],=;]+))/y;

interface Token {
  readonly kind: 'text' | 'sign' | 'word';
  readonly text: string;
  readonly line: number;
}

function tokensOf(text: string): readonly Token[] | XlFault {
  const tokens: Token[] = [];
  let line = 1;
  token.lastIndex = 0;
  while (token.lastIndex < text.length) {
    const from = token.lastIndex;
    const match = token.exec(text);
    if (match === null) {
      if (text.slice(from).trim() === '') break;
      return {
        message: 'this is no setting',
        hint: 'Write KEY = "text", KEY = 5 or KEY = [ "a", "b" ].',
        line,
      };
    }
    const [whole, double, single, sign, word] = match;
    const blank = whole.length - whole.trimStart().length;
    line += whole.slice(0, blank).split('\n').length - 1;
    const string = double ?? single;
    if (string !== undefined) tokens.push({ kind: 'text', text: string.replaceAll(/\\(.)/gs, '$1'), line });
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign, line });
    else if (word !== undefined) tokens.push({ kind: 'word', text: word, line });
    line += whole.slice(blank).split('\n').length - 1;
  }
  return tokens;
}

export function readXl(text: string): readonly XlSetting[] | XlFault {
  const tokens = tokensOf(text);
  if ('message' in tokens) return tokens;
  const settings: XlSetting[] = [];
  let at = 0;
  const peek = (): string => (tokens[at]?.kind === 'sign' ? (tokens[at]?.text ?? '') : '');
  while (at < tokens.length) {
    const key = tokens[at];
    at += 1;
    if (key === undefined || (key.kind === 'sign' && key.text === ';')) continue;
    const wrong = {
      message: `"${key.text.slice(0, 40)}" is no setting`,
      hint: 'Write KEY = "text", KEY = 5 or KEY = [ "a", "b" ].',
      line: key.line,
    };
    if (key.kind !== 'word' || peek() !== '=') return wrong;
    at += 1;
    const values: string[] = [];
    if (peek() === '[') {
      at += 1;
      while (at < tokens.length && peek() !== ']') {
        const item = tokens[at];
        if (item !== undefined && item.kind !== 'sign') values.push(item.text);
        else if (item?.text !== ',') return wrong;
        at += 1;
      }
      if (peek() !== ']') return { ...wrong, message: `the list of "${key.text.slice(0, 40)}" does not end` };
      at += 1;
    } else {
      const value = tokens[at];
      if (value === undefined || value.kind === 'sign') return wrong;
      values.push(value.text);
      at += 1;
    }
    settings.push({ key: key.text, values, line: key.line });
  }
  return settings;
}
