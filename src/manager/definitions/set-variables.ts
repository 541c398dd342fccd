/** UEFI variables that a machine had elsewhere: brought by its owner while it is stopped, in place of its own. */
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { uefiFor, variableStorePath } from '../../plan/boot.ts';
import type { HostBasics } from '../facts/host.ts';
import { writeQcow2 } from '../../plan/qcow2-image.ts';
import type { Paths } from '../../protocol/paths.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { removeFile, replaceFile } from '../store/atomic-file.ts';
import { stillSaved } from './definitions.ts';

export interface SetVariablesServices {
  readonly paths: Pick<Paths, 'vars'>;
  readonly host: () => Promise<HostBasics>;
}

/** Beside what OVMF has today, 528 KiB, with room for what comes. */
const mostBytes = 16 * 1024 ** 2;
/** A firmware volume tells its length at 32 and its signature at 40 (UEFI Platform Initialization, volume 3, 3.2.1). */
const lengthAt = 32;
const signatureAt = 40;
const headerBytes = 56;

/** `packed`: gzip of the flash chip's content as base64; null throws the machine's variables away. */
export async function setVariables(
  { paths, host }: SetVariablesServices,
  machine: Machine,
  packed: string | null,
): Promise<Outcome<'replaced' | 'emptied'>> {
  const { name, record } = machine;
  if (machine.saved !== undefined) return stillSaved(name, 'changed');
  if (record?.definition.firmware !== 'uefi')
    return failure(
      'definition-invalid',
      `machine "${name}" does not boot by UEFI, and has no variables`,
      `first \`qward set ${name} firmware=uefi\``,
    );
  const path = variableStorePath(paths.vars, record.definition);
  const content =
    packed === null ? success(null) : await unpack(packed, uefiFor(record.definition, await host()));
  if (!content.ok) return content;
  const { value } = content;
  const done = await machine.change(async () => {
    const written = value === null ? await removeFile(path) : await replaceFile(path, writeQcow2(value));
    return written.ok ? success('') : written;
  });
  return done.ok ? success(value === null ? 'emptied' : 'replaced') : done;
}

/** SECURITY: rule images. Only the bytes of a flash chip are taken: the image around them is written here, never brought. */
async function unpack(packed: string, uefi: ReturnType<typeof uefiFor>): Promise<Outcome<Uint8Array>> {
  if (uefi === null) return failure('firmware-missing', 'this host has no UEFI firmware', 'apt install ovmf');
  const { size } = await stat(uefi.varsTemplate);
  let content: Buffer;
  try {
    content = await promisify(gunzip)(Buffer.from(packed, 'base64'), { maxOutputLength: mostBytes });
  } catch {
    return noVariables(`they are not packed by gzip, or have more than ${mostBytes / 1024 ** 2} MiB`);
  }
  if (content.length < headerBytes || content.toString('latin1', signatureAt, signatureAt + 4) !== '_FVH')
    return noVariables('they have no firmware volume (_FVH)');
  if (content.readBigUInt64LE(lengthAt) > BigInt(content.length)) return noVariables('they are cut off');
  if (content.length !== size)
    return noVariables(
      `they have ${content.length} bytes, and those of ${uefi.varsTemplate} have ${size}: they are of another build of OVMF`,
    );
  return success(content);
}

function noVariables(reason: string): Outcome<never> {
  return failure(
    'request-invalid',
    `these are no UEFI variables for this host: ${reason}`,
    'give a raw OVMF_VARS_4M.fd, such as libvirt keeps in /var/lib/libvirt/qemu/nvram',
  );
}
