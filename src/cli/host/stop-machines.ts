/** Ending all machines as the host goes down: a line for each as it ends, through the death of the manager too. */
import { setTimeout as wait } from 'node:timers/promises';
import type { CallResult } from '../../api/calls.ts';
import type { QwardClient, Reply } from '../../api/client.ts';
import type { ApiFault } from '../../api/errors.ts';
import { TransportError } from '../../api/http.ts';
import type { EventStream } from '../../api/streams.ts';
import type { MachineEvent } from '../../api/stream-messages.ts';
import type { Context } from '../context.ts';
import { outcomeLine } from '../each-machine.ts';

type Ended = CallResult<'hostShutdown'>['machines'][number];

export type StoppedMachines =
  | { readonly ok: true; readonly machines: readonly Ended[] }
  /** `gone`: no manager answers; which machines there are is not known. */
  | {
      readonly ok: false;
      readonly gone: boolean;
      readonly faults: readonly Pick<ApiFault, 'message' | 'hint'>[];
    };

/** A manager that dies is started again within seconds; a broker that does not answer may be starting. */
const absentForMs = 60_000;
const againEveryMs = 500;
/** Codes after which the same call may go well. */
const passing: readonly string[] = ['broker-unreachable', 'timed-out', 'manager-unreachable'];

/** Asks until the manager has said what became of each machine. One that was never there is not waited for. */
export async function stopMachines(context: Context, client: QwardClient): Promise<StoppedMachines> {
  return await context.progressing('shutting machines down', async () => {
    const seen = new Map<string, Ended>();
    const tell = (row: Ended): void => {
      if (seen.get(row.name)?.outcome === row.outcome) return;
      seen.set(row.name, row);
      if (!context.json && !context.quiet) context.print(`${outcomeLine(row, context.style)}\n`);
    };
    let known = false;
    for (let giveUpAt = performance.now() + absentForMs; ;) {
      const [begun, toldBefore] = [performance.now(), seen.size];
      const asked = await ask(client, tell);
      if (asked.kind === 'answered' && asked.reply.ok) {
        asked.reply.result.machines.forEach(tell);
        return finish(asked.reply.result, [...seen.values()]);
      }
      const faults = asked.kind === 'answered' && !asked.reply.ok ? asked.reply.faults : asked.faults;
      const mayPass = faults.every(({ code }) => passing.includes(code));
      // One that was there for a while, and went, has its time anew.
      if (asked.kind !== 'absent') known = true;
      // A broker that never answers makes no machine end, and is not waited for without end.
      const lived = asked.kind === 'broken' && performance.now() - begun > againEveryMs;
      if (lived || seen.size > toldBefore) giveUpAt = performance.now() + absentForMs;
      if (!mayPass || !known || performance.now() >= giveUpAt)
        return { ok: false, gone: asked.kind !== 'answered', faults };
      await wait(againEveryMs);
    }
  });
}

function finish({ ok }: CallResult<'hostShutdown'>, machines: readonly Ended[]): StoppedMachines {
  if (ok) return { ok, machines };
  const left = machines.filter(({ ended, action }) => !ended && action !== 'leave');
  const names = left.map(({ name }) => name).join(', ');
  const message = left.length > 0 ? `these machines have not ended: ${names}` : 'not every machine has ended';
  return {
    ok,
    gone: false,
    faults: [{ message, hint: '`qward list` and `qward doctor` show what there is' }],
  };
}

type Asked =
  | {
      readonly kind: 'answered';
      readonly reply: Reply<CallResult<'hostShutdown'>>;
      readonly faults: readonly ApiFault[];
    }
  /** broken: it was there. absent: it was not. */
  | { readonly kind: 'broken' | 'absent'; readonly faults: readonly ApiFault[] };

/** The call, with the events beside it that tell of each machine as it ends. */
async function ask(client: QwardClient, tell: (row: Ended) => void): Promise<Asked> {
  const stream = await client.events().catch(() => undefined);
  const events = stream?.ok === true ? stream.result : undefined;
  const told = events === undefined ? Promise.resolve() : follow(events, tell);
  try {
    const reply = await client.call('hostShutdown', {});
    return { kind: 'answered', reply, faults: reply.ok ? [] : reply.faults };
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    const message = `the manager does not answer: ${error.message}`;
    const fault: ApiFault = {
      code: 'manager-unreachable',
      message,
      hint: 'is it running? `qward host status`',
    };
    return { kind: error.code === 'unreachable' ? 'absent' : 'broken', faults: [fault] };
  } finally {
    events?.close();
    await told;
  }
}

async function follow(events: EventStream<MachineEvent>, tell: (row: Ended) => void): Promise<void> {
  try {
    for await (const { event, machine: name, details } of events) {
      if (event !== 'machine.host-shutdown' || name === null) continue;
      const { action, outcome, ended, tookMs } = details;
      const known = action === 'stop' || action === 'kill' || action === 'leave';
      if (known && typeof outcome === 'string' && typeof ended === 'boolean' && typeof tookMs === 'number')
        tell({ name, action, outcome, ended, tookMs });
    }
  } catch {
    // The answer of the call tells the same, later.
  }
}
