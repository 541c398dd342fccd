/** What the user asks of a new machine, checked by itself: every fault at once, and nothing of the host is changed. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import { parseByteSize } from '../../definition/byte-size.ts';
import type { CommandFault } from '../command.ts';
import { loginName } from '../images/image-name.ts';
import type { Network } from './machine-text.ts';
import { isFaults, readUserKeys, type UserKey } from './public-keys.ts';

export interface CreateOptions {
  readonly image: string | undefined;
  readonly iso: string | undefined;
  readonly cpus: number | undefined;
  readonly memory: string | undefined;
  readonly disk: string | undefined;
  readonly sshKey: readonly string[];
  readonly user: string | undefined;
  readonly network: string | undefined;
  readonly uefi: boolean;
  readonly runner: boolean;
}

interface Common {
  readonly name: string;
  readonly cpus: number;
  /** As written; undefined: what the image says. */
  readonly memory: string | undefined;
  readonly network: Network['kind'];
  readonly bridge: string;
  readonly uefi: boolean;
}
export type Wish = Common &
  (
    | {
        readonly image: string;
        /** None: one is made for this machine. */
        readonly keys: readonly UserKey[];
        readonly user: string | undefined;
        /** Bytes; undefined: as large as the image. */
        readonly diskBytes: number | undefined;
        /** It is to be saved, and copied by `qward run --from`. */
        readonly runner: boolean;
      }
    | { readonly iso: string; readonly diskBytes: number }
  );

const nameExpected = 'lower-case letters, digits and "-", a letter first, 63 characters at most';
const maxCpus = 255;

export function checkWish(
  name: string,
  options: CreateOptions,
  home: string | undefined,
): Wish | { readonly faults: readonly CommandFault[] } {
  const faults: CommandFault[] = [];
  const wrong = (message: string, hint = ''): void => void faults.push({ message, hint });
  const { image, iso, cpus = image === undefined ? 2 : 1, memory, disk, user, uefi, runner } = options;
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) wrong(`"${name}" is not a name for a machine: ${nameExpected}`);
  if ((image === undefined) === (iso === undefined))
    wrong('create: what does it start from?', 'name one: --image NAME, or --iso FILE');
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > maxCpus)
    wrong(`--cpus: 1 to ${maxCpus} expected, not ${cpus}`);
  if (memory !== undefined && parseByteSize(memory) === undefined)
    wrong(`--memory: a size such as 2GiB is expected, not "${memory}"`);
  const diskBytes = disk === undefined ? undefined : parseByteSize(disk);
  if (disk !== undefined && diskBytes === undefined)
    wrong(`--disk: a size such as 20GiB is expected, not "${disk}"`);
  const { kind, bridge, fault } = networkOf(options.network ?? (runner ? 'none' : 'user'));
  if (fault !== undefined) wrong(fault);
  if (runner && (image === undefined || kind !== 'none' || uefi))
    wrong('--runner is for an image, without a card and UEFI, which copies of a machine cannot share');
  const common = { name, cpus, memory, network: kind, bridge, uefi };
  if (image === undefined) {
    if (disk === undefined) wrong('--disk: how large is the disk?', 'say it: --disk 40GiB');
    if (user !== undefined || options.sshKey.length > 0)
      wrong('--user and --ssh-key are for an image: an installer asks for itself');
    const path = resolve(iso ?? '');
    const unreadable = iso === undefined ? undefined : faultOfIso(path);
    if (unreadable !== undefined) faults.push(unreadable);
    return faults.length > 0 || diskBytes === undefined ? { faults } : { ...common, iso: path, diskBytes };
  }
  if (user !== undefined && !loginName.test(user))
    wrong(`--user: a name to log in with expected, not "${user}"`);
  const keys = readUserKeys(options.sshKey, home);
  if (isFaults(keys)) faults.push(...keys);
  return faults.length > 0 || isFaults(keys)
    ? { faults }
    : { ...common, image, keys, user, diskBytes, runner };
}

function networkOf(word: string): {
  readonly kind: Network['kind'];
  readonly bridge: string;
  readonly fault?: string;
} {
  if (word === 'none' || word === 'user') return { kind: word, bridge: '' };
  const bridge = /^bridge:([a-zA-Z][a-zA-Z0-9_.-]{0,14})$/.exec(word)?.[1];
  return bridge === undefined
    ? { kind: 'none', bridge: '', fault: `--network: user, none or bridge:NAME expected, not "${word}"` }
    : { kind: 'bridge', bridge };
}

function faultOfIso(path: string): CommandFault | undefined {
  try {
    return statSync(path).isFile()
      ? undefined
      : { message: `${path} is not a regular file`, hint: 'name an image of a disc' };
  } catch (error) {
    return { message: `${path} cannot be read: ${errnoText(error)}`, hint: '' };
  }
}
