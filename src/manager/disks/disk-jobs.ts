/** The jobs of image tools that are under way: one for each name, bounded in number, each ended with its caller. */
import { diskJobPattern } from '../../protocol/disk-job.ts';
import type { BrokerPort } from '../broker-port.ts';
import { failure, type Outcome } from '../outcome.ts';

export interface JobProgress {
  doing: string;
  percent: number | null;
}

export interface RunningJob {
  readonly name: string;
  readonly uid: number;
  readonly signal: AbortSignal;
  readonly progress: JobProgress;
}

/** Each takes up to two CPUs. */
const maxJobs = 16;
const maxJobsOfUser = 4;

export class DiskJobs {
  readonly #broker: BrokerPort;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #ending = new AbortController();

  constructor(broker: BrokerPort) {
    this.#broker = broker;
  }

  /** Undefined where it does not run, or is another's. */
  progress(name: string, uid: number): JobProgress | undefined {
    const job = this.#jobs.get(name);
    return job?.uid === uid ? job.progress : undefined;
  }

  has(name: string): boolean {
    return this.#jobs.has(name);
  }

  get any(): boolean {
    return this.#jobs.size > 0;
  }

  /** Ends all of them; their callers are told. */
  end(): void {
    this.#ending.abort();
  }

  async run<Value>(
    { name, uid, signal }: { readonly name: string; readonly uid: number; readonly signal: AbortSignal },
    work: (job: RunningJob) => Promise<Outcome<Value>>,
  ): Promise<Outcome<Value>> {
    if (!diskJobPattern.test(name) || this.#jobs.has(name))
      return failure('machine-busy', `a job ${name} is under way`, 'choose another name for the job');
    const own = [...this.#jobs.values()].filter((job) => job.uid === uid).length;
    if (this.#jobs.size >= maxJobs || own >= maxJobsOfUser)
      return failure(
        'machine-busy',
        `${own >= maxJobsOfUser ? `${own} jobs of yours` : `${this.#jobs.size} jobs`} are under way`,
        'wait until one has ended',
      );
    const job: RunningJob = {
      name,
      uid,
      signal: AbortSignal.any([signal, this.#ending.signal]),
      progress: { doing: 'looking at the images', percent: null },
    };
    this.#jobs.set(name, job);
    try {
      return await work(job);
    } finally {
      this.#jobs.delete(name);
      // Its uid and its claims go with it; where the broker does not answer, the next manager does it.
      await this.#broker.call('forget', { machine: name });
    }
  }
}
