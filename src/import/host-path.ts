/** Paths of foreign documents: those that a definition takes as they are. */
export function isHostPath(path: string): boolean {
  return (
    path.length <= 4095 &&
    /^(?:\/(?!\.{1,2}(?:\/|$))[^/\u0000-\u001f\u007f-\u009f\ud800-\udfff]+)+$/u.test(path)
  );
}
