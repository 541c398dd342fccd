/** A file of a guest to this host. It gets its name when it is whole. */
import { closeSync, existsSync, linkSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { errnoText } from '../../api/errno-text.ts';
import type { GuestFileStream } from '../../api/guest-file.ts';
import { formatBytes } from '../render/sizes.ts';
import { withNearestName } from '../select-machines.ts';
import { transferFault, type Transfer, type Transferred } from './send-file.ts';

export async function receiveFile(transfer: Transfer & { readonly force: boolean }): Promise<Transferred> {
  const { context, name, path, file, force } = transfer;
  const kept = (): Transferred =>
    transferFault(`${file} is there already`, 'name another file, or replace it with --force');
  if (!force && existsSync(file)) return kept();
  const opened = await withNearestName(
    context,
    name,
    await context.client.guestFile({ name, path, direction: 'read' }),
  );
  if (!opened.ok) return opened;
  const part = `${file}.part-${process.pid}`;
  const label = `copying ${file} from ${name}`;
  try {
    const received = await context.progressing(label, (progress) =>
      receive(opened.result, part, (bytes) => progress.label(`${label}, ${formatBytes(bytes)}`)),
    );
    if (!received.ok) return received;
    if (force) renameSync(part, file);
    else linkSync(part, file);
    return received;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return kept();
    return transferFault(`${file}: ${errnoText(error)}`);
  } finally {
    opened.result.close();
    rmSync(part, { force: true });
  }
}

async function receive(
  stream: GuestFileStream,
  part: string,
  onBytes: (bytes: number) => void,
): Promise<Transferred> {
  const fd = openSync(part, 'wx', 0o666);
  try {
    let bytes = 0;
    for await (const message of stream) {
      if (message.kind === 'notice') {
        if (message.notice.notice === 'failed') return transferFault(message.notice.message);
        if (message.notice.notice === 'done') return { ok: true, bytes };
        continue;
      }
      for (let at = 0; at < message.bytes.length;) at += writeSync(fd, message.bytes, at);
      bytes += message.bytes.length;
      onBytes(bytes);
    }
    return transferFault('the manager went away before the end of the file');
  } finally {
    closeSync(fd);
  }
}
