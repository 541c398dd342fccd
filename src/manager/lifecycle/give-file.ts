/** One more file for a QEMU that runs: the broker opens it by the rules of a launch, and QEMU gets the descriptor in a set. */
import { closeSync } from 'node:fs';
import type { FileOfLaunch } from '../../plan/launched-options.ts';
import type { CommandFailure } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { BrokerPort } from '../broker-port.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { whenFree } from '../handed-sockets.ts';
import type { HeldFile } from './held-files.ts';

export interface Receiver {
  readonly broker: BrokerPort;
  /** Name of the machine. */
  readonly machine: string;
  readonly session: QmpSession;
}

export interface GivenFile extends HeldFile {
  /** `/dev/fdset/N` is it. It is to be removed once its nodes are open: it would keep the file open for ever (QEMU 7.2). */
  readonly set: number;
}

/** Into `set`, where that is there, else into a new one. */
export async function giveFile(
  { broker, machine, session }: Receiver,
  file: FileOfLaunch,
  set?: number,
): Promise<Outcome<GivenFile>> {
  const opened = await broker.open({ machine, descriptor: { ...file, reopened: false } });
  if (!opened.ok) return opened;
  const { descriptor, device, inode } = opened.value;
  const given = await whenFree(() =>
    set === undefined
      ? commands.addFd(session, { descriptor })
      : commands.addFdTo(session, { set }, { descriptor }),
  ).finally(() => closeSync(descriptor));
  return given.ok
    ? success({ file, identity: { device, inode }, set: given.value })
    : monitorFailure({ name: machine }, given);
}

export function monitorFailure(
  machine: { readonly name: string },
  { message }: CommandFailure,
): ReturnType<typeof failure> {
  return failure('monitor-failed', `machine "${machine.name}": ${message}`, 'see `qward logs`');
}
