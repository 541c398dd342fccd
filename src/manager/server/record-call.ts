/** Each call that changes something, into the history: when it takes long at its beginning, and when it is over. */
import { errorKinds } from '../../api/errors.ts';
import { beyondWalls, relaxationsOf } from '../../definition/relaxations.ts';
import type { Change, History } from '../history/history.ts';
import { capText } from '../log.ts';
import type { Machines } from '../machines.ts';
import type { Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import { hasRole } from './authorize.ts';
import { describeChange } from './describe-change.ts';

export interface RecordedCall {
  readonly name: string;
  readonly identity: Identity;
  /** The machine that the path names. */
  readonly machine: string | undefined;
  readonly body: unknown;
  /** Whether the caller has the right that the call needs. */
  readonly granted: boolean;
}

export type Recorder = (
  call: RecordedCall,
  work: () => Promise<Outcome<unknown>>,
) => Promise<Outcome<unknown>>;

/** A manager that is killed in the middle of a call that takes longer leaves an entry of it. */
const longCallMs = 200;

export function createRecorder({
  history,
  machines,
}: {
  readonly history: History;
  readonly machines: Machines;
}): Recorder {
  return async (call, work) => {
    const { name, identity, granted, body } = call;
    const stranger = !granted && !hasRole(machines, identity);
    const { machine = call.machine ?? null, details = null } = stranger ? {} : describeChange(name, body);
    const ownerOf = (): number | null => {
      const known = machine === null ? undefined : machines.get(machine);
      return known === undefined ? null : machines.ownerOf(known);
    };
    const said = details ?? (name === 'start' && machine !== null ? beyondOf(machines, machine) : null);
    const ownerBefore = ownerOf();
    const change = (outcome: ReturnType<typeof outcomeOf>): Change => ({
      call: name,
      machine,
      owner: ownerBefore ?? ownerOf(),
      details: said,
      ...outcome,
    });
    const timer = setTimeout(() => {
      history.record(identity, change({ outcome: 'begun', code: null, rule: null }));
    }, longCallMs);
    try {
      const outcome = await work();
      if (stranger) history.recordStranger(identity, change(outcomeOf(outcome, granted)));
      else history.record(identity, change(outcomeOf(outcome, granted)));
      return outcome;
    } catch (error) {
      history.record(identity, change({ outcome: 'failed', code: 'internal', rule: null }));
      throw error;
    } finally {
      clearTimeout(timer);
    }
  };
}

/** What a start gives a machine beyond the walls of every machine, with the reasons; null: nothing. */
function beyondOf(machines: Machines, name: string): string | null {
  const record = machines.get(name)?.record;
  if (record === null || record === undefined) return null;
  const reasons = relaxationsOf(record.definition).flatMap(({ reason }) => reason ?? []);
  const words = beyondWalls(record.definition);
  return words.length === 0 ? null : capText(JSON.stringify({ beyond: words, reasons }), maxDetails);
}

const maxDetails = 500;

/** Refused: no right, or a rule that says no. Failed: anything else that went wrong. */
function outcomeOf(outcome: Outcome<unknown>, granted: boolean): Pick<Change, 'outcome' | 'code' | 'rule'> {
  if (outcome.ok) return { outcome: 'done', code: null, rule: null };
  const [fault] = outcome.faults;
  const code = fault?.code ?? 'internal';
  const kind = Object.entries(errorKinds).find(([known]) => known === code)?.[1];
  return {
    outcome: !granted || kind?.exit === 4 || fault?.rule !== undefined ? 'refused' : 'failed',
    code,
    rule: fault?.rule ?? null,
  };
}
