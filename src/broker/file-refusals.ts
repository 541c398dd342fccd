/** Why a file that the policy and a claim would give could not be opened, and what cures it. */
import { readFileSync, type Stats } from 'node:fs';
import said from '../../resources/file-refusals.json' with { type: 'json' };
import { NotOpenedError } from '../linux/descriptors.ts';
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
  /** What came of it; it may tell what the path names. */
  readonly error: unknown;
}

const explanations: Readonly<Record<string, Refusal>> = said.errnos;

export function explainFile({ path, access }: FileRequest, code: string, attempt: Attempt): Refusal {
  const { place, user, error } = attempt;
  if (user !== null && (code === 'EACCES' || code === 'EPERM'))
    return closedTo(user, { path, access }, error instanceof NotOpenedError ? error.stats : null);
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
  const [code, rule] = ['file-unreadable', 'owner-rights' satisfies OwnRule];
  const refusal = (message: string, hint: string): Refusal => ({ code, message, hint, rule });
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
