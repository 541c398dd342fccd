/**
 * Whether JSON text nests no deeper than `limit` objects and arrays. One pass, no recursion, no memory; brackets in
 * strings do not count. It says nothing of whether the text is JSON.
 */
export function nestsWithin(text: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at];
    if (byte === 0x22 /* " */) {
      inString = !inString;
    } else if (inString) {
      if (byte === 0x5c /* \ */) at += 1;
    } else if (byte === 0x5b /* [ */ || byte === 0x7b /* { */) {
      depth += 1;
      if (depth > limit) return false;
    } else if (byte === 0x5d /* ] */ || byte === 0x7d /* } */) {
      depth -= 1;
      // More closed than opened is never JSON, and must not buy depth for later.
      if (depth < 0) return false;
    }
  }
  return true;
}
