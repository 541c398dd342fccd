/** One job: its files are looked at, its steps run one after another, and what it makes gets its name when all is done. */
import type { DiskImage } from '../../api/disk-contract.ts';
import type { Fault } from '../../definition/fault.ts';
import {
  planDiskStep,
  type DiskFormat,
  type DiskStep,
  type JobFile,
  type JobTarget,
} from '../../plan/disk-job.ts';
import { snapshotFaults } from '../../plan/image-snapshots.ts';
import { sizeFaults } from '../../plan/job-faults.ts';
import type { Policy } from '../../policy/policy.ts';
import { maxTargetNameBytes, partPath } from '../../protocol/disk-job.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import type { RunningJob } from './disk-jobs.ts';
import { parseImageInfo } from './image-report.ts';
import {
  claimantFor,
  lookAtFiles,
  type JobFacts,
  type JobFileServices,
  type WantedFile,
} from './job-files.ts';
import { jsonIn, judgeStep } from './job-output.ts';
import { runStep, type StepServices } from './run-step.ts';
import type { ToolSource } from '../facts/tool.ts';

export interface DiskServices extends StepServices, JobFileServices {
  readonly tool: ToolSource;
  readonly policy: () => Outcome<Policy>;
}

export interface TargetInput {
  readonly path: string;
  readonly format: DiskFormat;
  readonly made: boolean;
}

export interface LayerInput {
  readonly path: string;
  readonly format: JobFile['format'];
}

export class DiskWork {
  readonly #services: DiskServices;
  readonly #job: RunningJob;
  readonly #identity: Identity;
  readonly #policy: Policy;
  /** Largest virtual size among the images: limits are made of it. */
  #virtualSize = 0;

  constructor(
    services: DiskServices,
    job: RunningJob,
    by: { readonly identity: Identity; readonly policy: Policy },
  ) {
    this.#services = services;
    this.#job = job;
    this.#identity = by.identity;
    this.#policy = by.policy;
  }

  file({ path, format }: LayerInput): JobFile {
    return { path, format, claimant: claimantFor(path, this.#identity, this.#policy) };
  }

  /** Every file with every fault that `faultsOf` finds in their headers. */
  async look(
    wanted: readonly WantedFile[],
    faultsOf: (facts: JobFacts) => readonly Fault[],
    shared = false,
  ): Promise<Outcome<JobFacts>> {
    const [identity, policy] = [this.#identity, this.#policy];
    const looked = await lookAtFiles(this.#services, wanted, {
      job: this.#job.name,
      identity,
      policy,
      shared,
    });
    if (!looked.ok) return looked;
    const everywhere = Object.entries(looked.value.headers).flatMap(([path, header]) => [
      ...this.sizeFaults(path, header.virtualSize),
      ...snapshotFaults(path, header),
    ]);
    const faults = [...faultsOf(looked.value), ...everywhere];
    this.#virtualSize = Math.max(this.#virtualSize, looked.value.largest);
    return faults.length > 0 ? { ok: false, faults } : looked;
  }

  sizeFaults(path: string, size: number): readonly Fault[] {
    return sizeFaults(path, size, this.#policy.ceilings.fileSize);
  }

  /** Limits are to leave room for an image of this size. */
  expect(size: number): void {
    this.#virtualSize = Math.max(this.#virtualSize, size);
  }

  /** The words of the step. */
  async step(step: DiskStep, doing: string): Promise<Outcome<string>> {
    const tool = await this.#services.tool.read();
    if (!tool.ok) return tool;
    const { progress, signal, name } = this.#job;
    Object.assign(progress, { doing, percent: null });
    const launch = planDiskStep(step, { machine: name, tool: tool.value, virtualSize: this.#virtualSize });
    const onProgress = (percent: number | null): void => {
      progress.percent = percent;
    };
    const ended = await runStep(this.#services, launch, { signal, onProgress });
    return ended.ok ? judgeStep(step, ended.value, launch) : ended;
  }

  /** What an image is now, which is also the proof that a job did what was asked. */
  async info(file: JobFile, { as = file.path, shared = false } = {}): Promise<Outcome<DiskImage>> {
    const words = await this.step({ do: 'info', image: file, shared }, 'looking at the image');
    if (!words.ok) return words;
    return success(parseImageInfo(as, jsonIn(words.value) ?? {}));
  }

  /**
   * Makes an image: `make` fills the part, which then gets its name.
   * SECURITY: promise 7. Nothing half made ever stands under the name that was asked for, and nothing is replaced.
   */
  async make(
    { path, format, made }: TargetInput,
    make: (target: JobTarget) => Promise<Outcome<unknown>>,
  ): Promise<Outcome<DiskImage>> {
    if (Buffer.byteLength(path.slice(path.lastIndexOf('/') + 1)) > maxTargetNameBytes)
      return failure(
        'request-invalid',
        `"${path}": the file's name is too long`,
        `${maxTargetNameBytes} bytes at most`,
      );
    const { name } = this.#job;
    const target = {
      path: partPath(path, name),
      format,
      claimant: claimantFor(path, this.#identity, this.#policy),
    };
    // Only what the policy gives to all is made by the broker, for administrators.
    if (!made && target.claimant !== null)
      return failure(
        'not-allowed',
        `"${path}" is not yours to make: it lies in no directory that you can write in`,
        'name a file in a directory of your own',
      );
    const ask = (action: 'create' | 'publish' | 'discard') =>
      this.#services.broker.call('part', { machine: name, path, action });
    const created = made ? success(undefined) : await ask('create');
    if (!created.ok) return created;
    let published = false;
    try {
      const done = await make(target);
      if (!done.ok) return done;
      const info = await this.info(target, { as: path });
      if (!info.ok) return info;
      if (info.value.format !== format || (info.value.backing !== null && format === 'raw'))
        return failure('disk-failed', `"${path}" was not made as ${format}`, 'try again');
      const given = made ? success(undefined) : await ask('publish');
      if (!given.ok) return given;
      published = true;
      return info;
    } finally {
      if (!made && !published) await ask('discard');
    }
  }
}
