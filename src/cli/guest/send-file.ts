/** A file of this host into a guest. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { errnoText } from '../../api/errno-text.ts';
import type { GuestFileStream } from '../../api/guest-file.ts';
import type { CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { formatBytes } from '../render/sizes.ts';
import { withNearestName } from '../select-machines.ts';

export interface Transfer {
  readonly context: Context;
  readonly name: string;
  /** In the guest. */
  readonly path: string;
  readonly file: string;
}

export type Transferred =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly faults: readonly CommandFault[] };

const partBytes = 32 * 1024;

export const transferFault = (message: string, hint = ''): Extract<Transferred, { ok: false }> => ({
  ok: false,
  faults: [{ message, hint }],
});

export async function sendFile({ context, name, path, file }: Transfer): Promise<Transferred> {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    return transferFault(`${file}: ${errnoText(error)}`);
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return transferFault(`${file} is no file`, 'pack a directory first: tar -cf');
    const opened = await withNearestName(
      context,
      name,
      await context.client.guestFile({ name, path, direction: 'write' }),
    );
    if (!opened.ok) return opened;
    const label = `copying ${file} to ${name}`;
    return await context.progressing(label, (progress) =>
      sendParts(opened.result, fd, (bytes) =>
        progress.label(`${label}, ${formatBytes(bytes)} of ${formatBytes(stats.size)}`),
      ),
    );
  } finally {
    closeSync(fd);
  }
}

/** The parts go as fast as the guest takes them; the guest's word for how it ended may come before the last. */
async function sendParts(
  stream: GuestFileStream,
  fd: number,
  onBytes: (bytes: number) => void,
): Promise<Transferred> {
  const ended = endOf(stream, onBytes);
  const sent = (async (): Promise<Transferred> => {
    for (;;) {
      const part = Buffer.alloc(partBytes);
      const read = readSync(fd, part, 0, partBytes, null);
      await stream.write(part.subarray(0, read));
      if (read === 0) return await ended;
    }
  })();
  try {
    return await Promise.race([ended, sent]);
  } finally {
    stream.close();
    await sent.catch(() => undefined);
  }
}

async function endOf(stream: GuestFileStream, onBytes: (bytes: number) => void): Promise<Transferred> {
  for await (const message of stream) {
    if (message.kind !== 'notice') continue;
    const { notice, bytes, message: words } = message.notice;
    if (notice === 'done') return { ok: true, bytes };
    if (notice === 'failed') return transferFault(words, `the guest has ${formatBytes(bytes)} of it`);
    onBytes(bytes);
  }
  return transferFault('the manager went away before the end of the file');
}
