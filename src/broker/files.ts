/** The broker's own small files: written whole or not at all, in directories that only root can write. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';

/** Writes a new file beside the old one and renames it into place; `durable` also survives a power cut. */
export function writeWhole(path: string, content: string, durable: boolean): void {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, 'w', 0o600);
  try {
    const bytes = Buffer.from(content, 'utf8');
    for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
    if (durable) fsyncSync(fd);
  } catch (error) {
    closeSync(fd);
    rmSync(fresh, { force: true });
    throw error;
  }
  closeSync(fd);
  renameSync(fresh, path);
}

/** The parsed JSON of a file; undefined where it is missing or half-written. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
