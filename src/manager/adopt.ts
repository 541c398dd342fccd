/** Taking over what runs already: the machines that the broker started for an earlier manager. */
import { setTimeout as wait } from 'node:timers/promises';
import type { BrokerStatus } from '../protocol/broker.ts';
import { version } from '../protocol/version.ts';
import type { BrokerPort } from './broker-port.ts';
import { isJob } from './disks/sweep-jobs.ts';
import { kvmProbeMachine } from './facts/kvm-probe.ts';
import type { Log } from './log.ts';
import type { Machines } from './machines.ts';
import { isThrowawayName } from './throwaway/throwaway-name.ts';

export interface AdoptionServices {
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly log: Log;
  readonly onStatus: (status: BrokerStatus) => void;
  /** Ends the attempts. */
  readonly signal: AbortSignal;
}

const firstRetryMs = 500;
const lastRetryMs = 5_000;

export interface Adoption {
  /** Over when the monitor of each machine has answered or been given up. */
  readonly connected: Promise<void>;
}

export class Adopter {
  readonly #services: AdoptionServices;
  #looking = false;

  constructor(services: AdoptionServices) {
    this.#services = services;
  }

  /** Returns when it is known what runs, or that the broker does not answer; further attempts follow until it does. */
  async adopt(): Promise<Adoption> {
    const adoption = await adoptOnce(this.#services);
    if (adoption === undefined) this.lookAgain();
    return adoption ?? { connected: Promise.resolve() };
  }

  /** Looks soon, and until the broker answers, for what runs and is not known. */
  lookAgain(): void {
    if (this.#looking) return;
    this.#looking = true;
    void this.#lookUntilAnswered().finally(() => {
      this.#looking = false;
    });
  }

  async #lookUntilAnswered(): Promise<void> {
    const { signal } = this.#services;
    for (let delayMs = firstRetryMs; !signal.aborted; delayMs = Math.min(2 * delayMs, lastRetryMs)) {
      await wait(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted && (await adoptOnce(this.#services)) !== undefined) return;
    }
  }
}

/** A throwaway machine of an earlier manager: the connection that it lived by ended with that. */
const isOrphan = (machines: Machines, machine: string): boolean =>
  isThrowawayName(machine) && machines.get(machine) === undefined;

/** Undefined where the broker does not answer. */
async function adoptOnce({
  machines,
  broker,
  log,
  onStatus,
}: AdoptionServices): Promise<Adoption | undefined> {
  const status = await broker.call('status', {});
  if (!status.ok) {
    log.error('the broker was not asked what runs', { faults: status.faults });
    return undefined;
  }
  onStatus(status.value);
  // Jobs (image tools, hooks) are looked after by who was told the status.
  const known = status.value.machines.filter(({ machine }) => !isJob(machine));
  const running = known.filter(
    ({ machine, launch }) =>
      machine !== kvmProbeMachine &&
      !['drill', 'qemu-img'].includes(launch.program) &&
      !isOrphan(machines, machine),
  );
  // What an earlier manager did not end: proofs, drills, disks that go back to a snapshot. Of this one the machine is busy.
  for (const { machine } of known.filter((one) => !running.includes(one)))
    if (machines.get(machine)?.busy !== true) await broker.call('kill', { machine });
  if (status.value.version !== version)
    log.warn('the broker is of another version', { broker: status.value.version, manager: version });
  for (const { path, reason, cure, unreached } of status.value.damaged) {
    log.warn('a state file of the broker is not used', { path, reason, cure });
    if (unreached !== undefined) machines.showUnreached(unreached);
  }
  const connect = await machines.adopt(running);
  if (running.length > 0)
    log.info('took over what runs', { machines: running.map(({ machine }) => machine) });
  const connected = connect().catch((error: unknown) => {
    log.error('a machine was not connected to', { error });
  });
  return { connected };
}
