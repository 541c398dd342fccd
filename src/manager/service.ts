/**
 * The manager as a service: what it tells the service manager (sd_notify(3), systemd.service(5)), and what SIGHUP does. Where
 * nobody listens, as under `qward host up`, nothing is told and the rest is the same.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { trimMalloc } from '../linux/malloc-trim.ts';
import type { Notifier } from '../linux/notify.ts';
import type { Manager } from './manager.ts';

/** A machine whose QEMU hangs holds readiness up no longer than this; systemd's own limit is 90 s. */
const adoptedWithinMs = 20_000;
/** At rest after a burst of starts or definitions a quarter of the manager's memory is free, and malloc keeps it. */
const trimmedAfterMs = 2000;

/** Says that the manager is ready once it knows what runs; from then on how many machines run, and that its loop turns. */
export async function serve(manager: Manager, notifier: Notifier): Promise<void> {
  const { tell, watchdogMs } = notifier;
  // A timer of the event loop: where that hangs, nobody else speaks for it.
  if (watchdogMs !== undefined)
    setInterval(() => tell('WATCHDOG=1', statusOf(manager)), watchdogMs / 2).unref();
  process.on('SIGHUP', () => {
    tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    void manager.reload().finally(() => tell('READY=1', statusOf(manager)));
  });
  await Promise.race([manager.adopted, wait(adoptedWithinMs, undefined, { ref: false })]);
  let told = statusOf(manager);
  tell('READY=1', told);
  const trim = setTimeout(trimMalloc, trimmedAfterMs).unref();
  manager.events.subscribe(() => {
    trim.refresh();
    const status = statusOf(manager);
    if (status !== told) tell(status);
    told = status;
  });
}

function statusOf({ machines }: Manager): string {
  const all = machines.all();
  const running = all.filter(({ life }) => life.run !== undefined).length;
  return `STATUS=${running} of ${all.length} machines run`;
}
