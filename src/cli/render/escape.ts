/** Text that a guest, an image or another user may have written, made safe for a terminal. */

// C0 and C1 controls, DEL, line and paragraph separators, and what turns the direction of writing.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const unsafeButLines =
  /(?![\n\t])[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function visible(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  if (character === '\r') return '\\r';
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** One line: every control character is shown, none is sent. */
export function escapeLine(text: string): string {
  return text.replaceAll(unsafe, visible);
}

/** Several lines: line feeds and tabs stay; a carriage return before a line feed goes. */
export function escapeLines(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll(unsafeButLines, visible);
}

// Our own styles (SGR), line feeds and tabs are not taken.
const unsafeOnScreen =
  /\u001b\[\d{1,2}m|\r\n|(?![\n\t])[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What was put together for a terminal, colours and all: any other control character in it is shown. */
export function escapeScreen(text: string): string {
  return text.replaceAll(unsafeOnScreen, (found) => (found.length > 1 ? found : visible(found)));
}

/** JSON that stays the same data and has no control character in it. */
export function escapeJson(json: string): string {
  return json.replaceAll(unsafe, (character) =>
    character === '\n' || character === '\t'
      ? character
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
