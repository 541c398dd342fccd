/** Text as a shell would take it apart, without anything that a shell would do. */

export interface Word {
  readonly text: string;
  readonly line: number;
}

/** Words of a text; quotes and backslashes as in a shell, `#` to the end of the line is a comment. Variables stay as they are. */
export function wordsOf(text: string): readonly Word[] {
  const words: Word[] = [];
  let [word, quote, line, begun] = ['', '', 1, false];
  const end = (): void => {
    if (begun) words.push({ text: word, line });
    [word, begun] = ['', false];
  };
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    const next = text.charAt(at + 1);
    if (character === '\\' && quote !== "'" && next === '\n') {
      at += 1;
      line += 1;
    } else if (character === '\\' && quote !== "'" && next !== '') {
      word += next;
      begun = true;
      at += 1;
    } else if (quote !== '') {
      if (character === quote) quote = '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      begun = true;
    } else if (character === '#' && !begun) {
      while (at + 1 < text.length && text.charAt(at + 1) !== '\n') at += 1;
    } else if (/\s/.test(character)) end();
    else {
      word += character;
      begun = true;
    }
    if (character === '\n') line += 1;
  }
  end();
  return words;
}
