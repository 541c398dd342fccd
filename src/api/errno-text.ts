/** Why the system refused, without the code, call and path that Node adds: `no such file or directory`. */
export function errnoText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^E[A-Z0-9]+: (.+?), [a-z]+\b/.exec(message)?.[1] ?? message;
}
