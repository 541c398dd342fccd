/** Admission of a server beside a machine: one connection to its QEMU, one directory, and words that are made of these. */
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest, Shown } from '../protocol/launch.ts';
import { sameWords } from '../protocol/same-words.ts';
import { helperJobPattern, swtpmArguments, virtiofsdArguments } from '../protocol/side-servers.ts';
import { policyRefusal } from './refusals.ts';

const kinds = {
  swtpm: { what: 'a TPM', socket: 'tpm', shown: 'state', words: swtpmArguments },
  virtiofsd: { what: 'a shared folder', socket: 'share', shown: 'file', words: virtiofsdArguments },
} as const;

/** virtiofsd takes both for its own in a path. */
const plainPath = /^[^,\\]+$/;

/** SECURITY: promise 2. No word of the manager's own reaches it, and nothing of the host but its state, or its folder. */
export function admitSideServer(launch: LaunchRequest): Refusal[] {
  const { machine, program, argv, env, descriptors, devices, relaxed = [], shown = [], pins = [] } = launch;
  const joined = descriptors.map((one) => (one.kind === 'netdev' ? one.socket : ''));
  if (program !== 'swtpm' && program !== 'virtiofsd') {
    const served = program === 'qemu' || program === 'drill' ? ['tpm'] : ['tpm', 'share'];
    const own = shown.every(({ kind }) => kind !== 'state') && joined.every((one) => !served.includes(one));
    return own
      ? []
      : [policyRefusal(`"${machine}" is no TPM, and joined to none`, 'only swtpm has its state')];
  }
  const kind = kinds[program];
  const fits = ({ kind: is, path, claimant }: Shown): boolean =>
    is === kind.shown &&
    plainPath.test(path) &&
    (program === 'virtiofsd' || claimant === null) &&
    sameWords(argv, kind.words(path));
  const given = [...Object.keys(env), ...devices, ...relaxed, ...pins].length;
  const alone = shown.length === 1 && shown.every(fits) && joined.join() === kind.socket;
  if (alone && given === 0 && helperJobPattern.test(machine)) return [];
  return [
    policyRefusal(
      `"${machine}" asks for more than ${kind.what} gets`,
      'it gets one directory, and a connection to its machine',
    ),
  ];
}

const helperPrograms: readonly string[] = ['passt', 'swtpm', 'virtiofsd'];

/** SECURITY: promise 1. Helpers end with what they serve: a helper that served helpers, or was called as one, would end without end. */
export function admitHelperNames({ machine, program, descriptors }: LaunchRequest): Refusal[] {
  const helps = helperPrograms.includes(program);
  const serves = descriptors.some((one) => one.kind === 'netdev' && helperJobPattern.test(one.machine));
  if (helps ? !serves : !helperJobPattern.test(machine)) return [];
  return [policyRefusal(`"${machine}" would serve what serves machines`, 'a helper is for one machine')];
}
