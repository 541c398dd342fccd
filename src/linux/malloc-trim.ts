/** malloc's free pages, back to the kernel: malloc_trim(3), of glibc alone. Some 3 ms for 20 MiB. */
import { dlopen } from 'node:ffi';

let trim: ((pad: bigint) => number) | undefined;

/** Without malloc_trim(3), as with musl, nothing happens: only memory is not given back. */
export function trimMalloc(): void {
  trim ??= load();
  trim(0n);
}

function load(): (pad: bigint) => number {
  try {
    const { functions } = dlopen(null, { malloc_trim: { arguments: ['u64'], return: 'i32' } });
    return functions.malloc_trim;
  } catch {
    return () => 0;
  }
}
