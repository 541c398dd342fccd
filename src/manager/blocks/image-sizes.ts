/** How large images are by the files themselves: of a QEMU that was taken over no word counts, and it may write what it was given. */
import { parseImageHeader } from '../../plan/image-header.ts';
import type { FileOfLaunch } from '../../plan/launched-options.ts';
import type { BrokerPort } from '../broker-port.ts';
import { success, type Outcome } from '../outcome.ts';

export interface SizedFile {
  readonly file: Pick<FileOfLaunch, 'path' | 'access' | 'claimant'>;
  readonly format: 'raw' | 'qcow2';
}

export interface ImageSize {
  /** Virtual, bytes. */
  readonly size: number;
  /** It is of the format that it should have, and names no other file. */
  readonly alone: boolean;
}

/** In the order of the files; a fault where one cannot be looked at. */
export async function sizesOf(
  broker: Pick<BrokerPort, 'call'>,
  machine: string,
  files: readonly SizedFile[],
): Promise<Outcome<readonly ImageSize[]>> {
  const paths = files.map(({ file: { path, access, claimant } }) => ({ path, access, claimant }));
  const probed = await broker.call('probe', { machine, paths, head: 1024 });
  if (!probed.ok) return probed;
  const sizes: ImageSize[] = [];
  for (const [index, probe] of probed.value.entries()) {
    if (!probe.ok) return { ok: false, faults: [probe.refusal] };
    const header = parseImageHeader(Buffer.from(probe.head, 'base64'), probe.size);
    const raw = files[index]?.format === 'raw';
    const alone = raw || (header.format === 'qcow2' && header.references.length === 0);
    // QEMU fills the last sector of a raw one up.
    sizes.push({ size: raw ? Math.ceil(probe.size / 512) * 512 : header.virtualSize, alone });
  }
  return success(sizes);
}
