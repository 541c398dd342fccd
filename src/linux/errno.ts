/** The errno name of a failed system call (`ENOENT`), of Node's or our own; empty for other errors. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** What `look` gives; undefined where the thing that it looks at is missing, or has gone meanwhile. */
export function unlessMissing<Found>(
  look: () => Found,
  missing: readonly string[] = ['ENOENT', 'ESRCH'],
): Found | undefined {
  try {
    return look();
  } catch (error) {
    if (missing.includes(errorCode(error))) return undefined;
    throw error;
  }
}
