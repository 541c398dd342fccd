/** Why a file that the policy and a claim would give could not be opened, and what cures it. */
import { readFileSync, type Stats } from 'node:fs';
import { accountOf } from '../linux/accounts.ts';
import { parseMountinfo } from '../linux/mountinfo.ts';
import type { FilePlace } from '../policy/file-rules.ts';
import { isWithin } from '../policy/policy.ts';
import type { FileRequest, Refusal } from '../protocol/broker.ts';
import type { OwnRule } from '../protocol/rules.ts';

interface Attempt {
  readonly place: FilePlace | null;
  /** Name of the user with whose rights it was tried; null: root. */
  readonly user: string | null;
  /** What the path names, where it was found. */
  readonly stats: Stats | null;
}

/** Errno names, and those of `NotOpenedError`. */
const explanations: Readonly<Record<string, Omit<Refusal, 'rule'> & { readonly rule?: OwnRule }>> = {
  ENOENT: { code: 'file-missing', message: 'does not exist', hint: 'check the path' },
  ENOTDIR: { code: 'file-missing', message: 'does not exist', hint: 'check the path' },
  ELOOP: {
    code: 'file-kind',
    message: 'is, or lies behind, a symbolic link',
    hint: 'write the path that the link leads to; links are never followed',
    rule: 'no-links',
  },
  EXDEV: { code: 'policy-refused', message: 'leads out of its storage root', hint: 'write the plain path' },
  ENOTREG: {
    code: 'file-kind',
    message: 'is not a regular file',
    hint: 'name an image file',
    rule: 'regular-files',
  },
  EOTHERKIND: {
    code: 'file-kind',
    message: 'is not a file or directory where one is asked for, or not a Unix socket',
    hint: 'name files in confinement.files, sockets in confinement.sockets, devices in confinement.devices',
  },
  ENOTBLK: {
    code: 'file-kind',
    message: 'is not a block device',
    hint: 'mend the policy, or name an image file',
  },
  EKERNEL: {
    code: 'file-kind',
    message: "is one of the kernel's own files",
    hint: 'name an image file',
    rule: 'kernel-files',
  },
  EISBLK: {
    code: 'policy-refused',
    message: 'is a block device that the policy does not list',
    hint: 'the administrator adds it to blockDevices, or its volume group to lvmGroups',
  },
  EOTHER: {
    code: 'policy-refused',
    message: 'is not a volume of the group that the policy lists',
    hint: 'see `lvs`; a part that LVM hides beneath a volume is none',
  },
  EBUSY: {
    code: 'image-locked',
    message: 'is mounted, or a part of another device',
    hint: 'unmount it, or take it out of the array or group (`lsblk` shows which)',
  },
  EAGAIN: {
    code: 'image-locked',
    message: 'is held by another program (a lease)',
    hint: '`lslocks` shows which; end it, or try again in a minute',
  },
  EROFS: {
    code: 'file-unreadable',
    message: 'cannot be opened (EROFS)',
    hint: 'the file system is read-only: set readonly: true',
  },
};

export function explainFile({ path, access }: FileRequest, code: string, attempt: Attempt): Refusal {
  const { place, user, stats } = attempt;
  if (user !== null && (code === 'EACCES' || code === 'EPERM'))
    return closedTo(user, { path, access }, stats);
  // A node beyond /dev is none that a policy could list.
  const kind = code === 'EISBLK' && !path.startsWith('/dev/') ? 'ENOTREG' : code;
  const { message, ...rest }: Refusal = explanations[kind] ?? {
    code: 'file-unreadable',
    message: `cannot be opened (${code})`,
    hint: 'look at the file and its file system',
  };
  const ofPlace = ['ENOTBLK', 'EOTHER', 'EXDEV'].includes(kind) ? place?.rule : undefined;
  const rule = kind === 'EISBLK' ? 'blockDevices' : ofPlace;
  return { ...rest, message: `"${path}" ${message}`, ...(rule === undefined ? {} : { rule }) };
}

function closedTo(
  user: string,
  { path, access }: Omit<FileRequest, 'claimant'>,
  stats: Stats | null,
): Refusal {
  const rule: OwnRule = 'owner-rights';
  const refusal = (message: string, hint: string): Refusal => ({
    code: 'file-unreadable',
    message,
    hint,
    rule,
  });
  if (stats !== null) {
    const owner = accountOf(stats.uid)?.name ?? `uid ${stats.uid}`;
    const mode = `0${(stats.mode & 0o7777).toString(8)}`;
    return refusal(
      `user ${user} may not ${access === 'ro' ? 'read' : 'write'} "${path}": it belongs to ${owner}, group ${stats.gid}, mode ${mode}`,
      `\`ls -l ${path}\` shows who may; a machine opens files with the rights of the user who named them`,
    );
  }
  const fuse = fileSystemOf(path).startsWith('fuse');
  return refusal(
    `user ${user} may not enter a directory of "${path}"${fuse ? ': it is on FUSE, which shows it to nobody but the user who mounted it' : ''}`,
    fuse
      ? 'mount it with -o allow_other, or move the image to another file system'
      : `\`namei -l ${path}\` shows which; a machine opens files with the rights of the user who named them`,
  );
}

/** Type of the file system of the innermost mount that the path lies in. */
function fileSystemOf(path: string): string {
  const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  const around = mounts.filter(({ point }) => point === '/' || isWithin(path, point));
  return around.toSorted((left, right) => left.point.length - right.point.length).at(-1)?.type ?? '';
}
