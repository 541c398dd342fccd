/** What attaching and detaching needs, and the machine that it is done to. */
import type { FileIdentity } from '../../protocol/broker.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import type { WallServices } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Networks } from '../networks/user-networks.ts';
import type { Planner } from '../planner.ts';
import type { Quotas } from '../quotas.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';

export interface HotplugServices extends WallServices {
  readonly planner: Planner;
  readonly networks: Pick<Networks, 'join'>;
  readonly quotas: Pick<Quotas, 'admitStart' | 'admitGrowth'>;
  /** Another machine that has the file open, where whoever sees this machine may know of it. */
  readonly holderOf: (machine: string, file: FileIdentity, path: string) => string | undefined;
}

/** A machine whose guest runs. */
export interface Work {
  readonly services: HotplugServices;
  readonly machine: Machine;
  readonly run: Run;
  readonly record: DefinitionRecord;
  readonly session: QmpSession;
}

/** Does it to a machine whose guest runs, when nobody else changes what it holds. */
export async function workAlone<Result>(
  services: HotplugServices,
  machine: Machine,
  work: (there: Work) => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  const begin = async (): Promise<Outcome<Result>> => {
    const begun = await beginWork(services, machine);
    return begun.ok ? await work(begun.value) : begun;
  };
  return machine.run === undefined ? await begin() : await machine.run.media.alone(begin);
}

/** While it is paused QEMU closes no descriptor set (7.2), and no guest lets go of a device. */
async function beginWork(services: HotplugServices, machine: Machine): Promise<Outcome<Work>> {
  const session = machine.session();
  if (!session.ok) return session;
  const { run, record, name } = machine;
  if (run === undefined || record === null)
    return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
  const status = await commands.queryStatus(session.value);
  if (!status.ok) return monitorFailure(machine, status);
  if (!status.value.running)
    return failure(
      'machine-not-running',
      `machine "${name}" is paused (${status.value.status}): disks come and go while its guest runs`,
      `let it go on first: \`qward resume ${name}\``,
    );
  return success({ services, machine, run, record, session: session.value });
}
