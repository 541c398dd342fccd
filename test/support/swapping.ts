/** A program that swaps two names all the time (renameat2(2), RENAME_EXCHANGE) until it is killed; it prints a line once it does. */
import { addressOf, checked, cString, syscall } from '../../src/linux/libc.ts';

const SYS_renameat2 = 316;
const RENAME_EXCHANGE = 2;
const AT_FDCWD = -100;

const [one, other] = process.argv.slice(2, 4).map((path) => cString(path));
if (one === undefined || other === undefined) throw new TypeError('two paths expected');
for (let round = 0; ; round += 1) {
  const call = [AT_FDCWD, addressOf(one), AT_FDCWD, addressOf(other), RENAME_EXCHANGE];
  checked(syscall(SYS_renameat2, call), 'renameat2', 'names');
  if (round === 100) process.stdout.write('swapping\n');
}
