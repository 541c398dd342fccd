/** What is kept of a machine's memory on the manager's own file system, bytes: its saved state and its snapshots, whole or not. */
import { lstat, readdir } from 'node:fs/promises';

export type KeptBytes = (machine: string) => Promise<number>;

export const createKeptBytes =
  (managerState: string): KeptBytes =>
  async (machine) => {
    const sizes = ['saved', 'snapshots'].map((kind) => bytesIn(`${managerState}/${kind}/${machine}`));
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
  };

async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  const sizes = names.map((name) =>
    lstat(`${directory}/${name}`).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
