/** Whether two command lines are the same, word by word: a word may hold what separates words elsewhere. */
export const sameWords = (left: readonly string[], right: readonly string[]): boolean =>
  left.length === right.length && left.every((word, index) => word === right[index]);
