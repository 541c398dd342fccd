/** The walls of a machine after something was changed while it runs. */
import { differingWalls } from '../../audit/report.ts';
import type { BrokerPort } from '../broker-port.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Machine } from './machine.ts';
import type { StartServices } from './start-run.ts';

export interface WallServices {
  readonly broker: BrokerPort;
  readonly audit: StartServices['audit'];
  readonly now: () => Date;
}

/** `done` says what was changed: `the disc was changed`. */
export async function lookAtWalls(
  { broker, audit, now }: WallServices,
  machine: Machine,
  done: string,
): Promise<Outcome<undefined>> {
  const { run, name } = machine;
  if (run === undefined)
    return failure('machine-not-running', `${done}, and machine "${name}" ended meanwhile`, 'start it');
  const facts = await broker.call('inspect', { machine: name });
  if (!facts.ok) return facts;
  const report = audit(run, facts.value, now());
  machine.life.audit = { ok: report.ok, at: report.at };
  if (report.ok) return success(undefined);
  return failure(
    'audit-failed',
    `${done}, and walls of machine "${name}" differ now: ${differingWalls(report)}`,
    `\`qward audit ${name}\``,
  );
}
