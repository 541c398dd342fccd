/** Programs for the demo guest, behind its own initial RAM disk. */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { directory, file, writeCpio, type CpioEntry } from './cpio.ts';
import { run } from './debian-package.ts';
import type { DemoGuest } from './demo-guest.ts';

/** The loader and the libraries that it finds, at the paths at which it looks for them. */
export function librariesOf(binary: string): CpioEntry[] {
  const paths = [...run('ldd', [binary], '/').matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
  return paths.map((path) => file(path.slice(1), readFileSync(realpathSync(path)), 0o755));
}

/** Writes the guest's RAM disk with these files, and the directories above them. */
export function addToInitrd(guest: DemoGuest, target: string, files: readonly CpioEntry[]): void {
  const directories = new Set<string>();
  for (const { path } of files)
    for (let above = dirname(path); above !== '.'; above = dirname(above)) directories.add(above);
  const archive = writeCpio([...[...directories].sort().map(directory), ...files]);
  // The kernel unpacks one archive after the other.
  writeFileSync(target, Buffer.concat([readFileSync(guest.initrd), archive]), { mode: 0o644 });
}
