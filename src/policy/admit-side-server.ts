/** Admission of a server beside a machine: one connection to its QEMU, one directory, and words that are made of these. */
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { helperJobPattern, swtpmArguments } from '../protocol/side-servers.ts';
import { policyRefusal } from './refusals.ts';

/** SECURITY: promise 2. No word of the manager's own reaches it, and nothing of the host but its state. */
export function admitSideServer(launch: LaunchRequest): Refusal[] {
  const { machine, program, argv, env, descriptors, devices, relaxed = [], shown = [], pins = [] } = launch;
  const [state] = shown;
  if (program !== 'swtpm')
    return state?.kind === 'state'
      ? [policyRefusal(`"${machine}" is no TPM`, 'only swtpm has its state')]
      : [];
  const given = [...Object.keys(env), ...devices, ...relaxed, ...pins, ...shown.slice(1)].length;
  const [joined, ...more] = descriptors.map((one) => (one.kind === 'netdev' ? one.socket : ''));
  const plain =
    state?.kind === 'state' &&
    state.claimant === null &&
    argv.join('\n') === swtpmArguments(state.path).join('\n');
  if (plain && given === 0 && joined === 'tpm' && more.length === 0 && helperJobPattern.test(machine))
    return [];
  return [
    policyRefusal(
      `"${machine}" asks for more than a TPM gets`,
      'it gets its state, and a connection to its machine',
    ),
  ];
}
