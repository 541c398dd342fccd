/** What a plan must know of the host beside QEMU. */
import { stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import type { HostFacts } from '../../plan/launch-plan.ts';
import { resolveSystemPath, type DirectoryFindings } from './system-path.ts';

export type HostBasics = Pick<
  HostFacts,
  'uefi' | 'secureUefi' | 'vhostNet' | 'hostMemory' | 'time' | 'session'
>;

/** OVMF as Debian's package `ovmf` has it: code and variables apart, flash of 4 MiB. */
const uefiFiles = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
  varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.fd',
} as const;
/** Linked without its shell and with SMM; the template has Microsoft's keys and Debian's. */
const secureUefiFiles = {
  code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
  varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
} as const;

/** For a session, which has no TAP whose packets vhost-net could carry. */
export const gatherForSession = async (): Promise<HostBasics> => ({
  ...(await gatherHost()),
  vhostNet: false,
  session: true,
});

/** Looks at the host; what is not there is null or false, never an error. */
export async function gatherHost(): Promise<HostBasics> {
  const [uefi, secureUefi, vhostNet] = await Promise.all([
    findUefi(uefiFiles),
    findUefi(secureUefiFiles),
    isCharacterDevice('/dev/vhost-net'),
  ]);
  const time = { now: Date.now(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
  return { uefi, secureUefi, vhostNet, hostMemory: totalmem(), time };
}

async function findUefi(uefiFiles: NonNullable<HostFacts['uefi']>): Promise<HostFacts['uefi']> {
  const findings: DirectoryFindings = new Map();
  const code = await resolveSystemPath(uefiFiles.code, findings);
  const varsTemplate = await resolveSystemPath(uefiFiles.varsTemplate, findings);
  if (!code.ok || !varsTemplate.ok) return null;
  return { code: code.source, varsTemplate: varsTemplate.source };
}

async function isCharacterDevice(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isCharacterDevice();
  } catch {
    return false;
  }
}
