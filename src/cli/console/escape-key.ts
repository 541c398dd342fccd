/** The key that leaves the console. */

/** Ctrl-]. */
export const defaultEscape = '^]';

/** The byte of `^]`, `ctrl-]`, `C-a`, or null for `none`; undefined where it is none of these. */
export function parseEscape(text: string): number | null | undefined {
  if (text === 'none') return null;
  const match = /^(?:\^|ctrl[-+]|c-)([@a-z[\\\]^_])$/i.exec(text);
  return match?.[1] === undefined ? undefined : match[1].toUpperCase().charCodeAt(0) & 0x1f;
}

/** How a person would say it: `Ctrl-]`. */
export const escapeText = (byte: number): string => `Ctrl-${String.fromCharCode(byte | 0x40)}`;

/** What comes before the escape key, and whether it was typed. */
export function untilEscape(
  typed: Uint8Array,
  escape: number | null,
): { readonly bytes: Uint8Array; readonly escaped: boolean } {
  const at = escape === null ? -1 : typed.indexOf(escape);
  return at === -1 ? { bytes: typed, escaped: false } : { bytes: typed.subarray(0, at), escaped: true };
}
