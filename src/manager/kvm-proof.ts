/** Whether guests run under KVM on this host: proved by one that does, once in a boot, when somebody first needs to know. */
import { readFileSync } from 'node:fs';
import { unlessMissing } from '../linux/errno.ts';
import type { QemuFacts } from '../plan/launch-plan.ts';
import { ensureKvmProbeImage } from './facts/kvm-probe-image.ts';
import {
  judgeKvmProbe,
  judgeWithoutProbe,
  kvmProbeDefinition,
  kvmProbeLimitMs,
  kvmProbeMachine,
  kvmProbeWaitMs,
  planKvmProbe,
  type KvmVerdict,
} from './facts/kvm-probe.ts';
import type { KvmVerdictStore } from './facts/kvm-verdict-store.ts';
import type { Run } from './lifecycle/run.ts';
import { startRun, type StartServices } from './lifecycle/start-run.ts';
import type { Log } from './log.ts';
import { success, type Outcome } from './outcome.ts';

export interface KvmProofServices extends Omit<StartServices, 'planner'> {
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly store: KvmVerdictStore;
  /** The image of the probe's guest: beneath a storage root, writable by the manager. */
  readonly imagePath: string;
  readonly log: Log;
}

export class KvmProof {
  readonly #services: KvmProofServices;
  #known: KvmVerdict | undefined;
  #pending: Promise<KvmVerdict> | undefined;

  constructor(services: KvmProofServices) {
    this.#services = services;
  }

  /** What is known without a probe; undefined: nothing yet. */
  async known(): Promise<KvmVerdict | undefined> {
    this.#known ??= (await judgeWithoutProbe()) ?? (await this.#services.store.read());
    return this.#known;
  }

  /** Takes some seconds at most, the first time in a boot. */
  async verdict(): Promise<KvmVerdict> {
    const known = await this.known();
    if (known !== undefined) return known;
    this.#pending ??= this.#prove().finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  async #prove(): Promise<KvmVerdict> {
    const { broker, log, store, imagePath, qemu } = this.#services;
    try {
      await ensureKvmProbeImage(imagePath);
    } catch (error) {
      return { works: false, reason: `the test guest could not be made: ${String(error)}` };
    }
    const facts = await qemu();
    if (!facts.ok) return { works: false, reason: 'there is no QEMU to try it with' };
    const planned = planKvmProbe(facts.value, imagePath);
    if (!planned.ok)
      return { works: false, reason: planned.faults[0]?.message ?? 'the test guest has no plan' };
    const planner = { plan: () => Promise.resolve(success({ plan: planned.plan, files: {}, marks: {} })) };
    const definition = kvmProbeDefinition(imagePath);
    const { signal } = new AbortController();
    const started = await startRun(
      { ...this.#services, planner },
      { definition, owner: 0, revision: '', paused: false, signal },
    );
    // Nothing is remembered of a try that never came to KVM: the next one may.
    if (!started.ok)
      return { works: false, reason: `the test guest did not start: ${started.faults[0]?.message ?? ''}` };
    const { run } = started.value;
    const verdict = judgeKvmProbe(await listen(run));
    run.ending = 'kill';
    await broker.call('kill', { machine: kvmProbeMachine });
    await run.end('the proof is over');
    await run.console.scrollBack.remove();
    await store.write(verdict);
    log.info('KVM was tried', { ...verdict });
    this.#known = verdict;
    return verdict;
  }
}

/** What the guest says until it has said enough, or its time is over. */
function listen(run: Run): Promise<Buffer> {
  return new Promise((resolve) => {
    let heard = Buffer.alloc(0);
    const finish = (): void => {
      clearTimeout(timer);
      clearInterval(looks);
      resolve(heard);
    };
    const timer = setTimeout(finish, kvmProbeWaitMs);
    const looks = setInterval(() => {
      if (cpuMsOf(run.launched.pid) >= kvmProbeLimitMs) finish();
    }, 100);
    run.console.attach(
      {
        user: 'qward',
        unsent: () => 0,
        send: (bytes) => {
          heard = Buffer.concat([heard, bytes]);
          if (judgeKvmProbe(heard).works) finish();
        },
        notice: () => undefined,
        close: finish,
      },
      { write: false, steal: false, replay: true },
    );
    void untilStopped(run).then(finish);
  });
}

/** A KVM that cannot go on stops the virtual CPU ("internal-error"): there is nothing more to wait for. */
async function untilStopped({ session }: Run): Promise<void> {
  if (session === undefined) return;
  for await (const { event } of session.events) if (event.name === 'STOP') return;
}

/** User and system time of a process, milliseconds: fields 14 and 15 of /proc/PID/stat (proc(5)), in ticks of 10. Of none that is gone: infinite. */
function cpuMsOf(pid: number): number {
  const stat = unlessMissing(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return stat === undefined ? Infinity : 10 * (Number(fields[11]) + Number(fields[12]));
}
