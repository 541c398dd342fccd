/** Numbers of a text such as `0-3,8`, in its order; a range that falls has none. */
export function numbersOf(ranges: string): readonly number[] {
  return ranges.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}
