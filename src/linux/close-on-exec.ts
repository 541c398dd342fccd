/** close_range(2): what whoever started this process left open is not passed on to the programs that it starts. */
import { checked, syscall } from './libc.ts';

const SYS_close_range = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const lastDescriptor = 0xffff_ffff;

/** Those that `spawn` is told to pass are passed all the same. */
export function keepDescriptorsFrom(first: number): void {
  checked(
    syscall(SYS_close_range, [first, lastDescriptor, CLOSE_RANGE_CLOEXEC]),
    'close_range',
    'descriptors',
  );
}
