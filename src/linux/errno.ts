/** The errno name of a failed system call (`ENOENT`), of Node's or our own; empty for other errors. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
