/** Variables of an environment as words of the command line. */
export type Environment =
  | { readonly ok: true; readonly env: Record<string, string> }
  | { readonly ok: false; readonly word: string };

/** The first word that is not `NAME=VALUE` is the fault. */
export function parseEnvironment(words: readonly string[]): Environment {
  const env: Record<string, string> = {};
  for (const word of words) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([^]*)$/.exec(word) ?? [];
    if (name === undefined || value === undefined) return { ok: false, word };
    env[name] = value;
  }
  return { ok: true, env };
}
