/**
 * Text of QEMU's that people may see on a terminal: at most `maxLength` characters, line breaks and tabs as they are,
 * every other control character (escape sequences, bidirectional overrides) as U+FFFD.
 */
export function printable(text: string, maxLength: number): string {
  const capped = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return capped.replaceAll('\r\n', '\n').replaceAll(/[^\P{C}\n\t]/gu, '\ufffd');
}
