/** Calls about images: the right of the caller, then a job that ends with its connection. */
import type { DiskServices } from '../disks/disk-work.ts';
import { DiskWork } from '../disks/disk-work.ts';
import type { DiskJobs } from '../disks/disk-jobs.ts';
import { listDisks } from '../disks/disk-list.ts';
import {
  diskCheck,
  diskCommit,
  diskConvert,
  diskCreate,
  diskImport,
  diskInfo,
  diskRebase,
  diskResize,
  diskSnapshot,
} from '../disks/disk-operations.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

type DiskCalls = Extract<keyof Handlers, `disk${string}`>;

export interface DiskHandlerServices extends DiskServices {
  readonly jobs: DiskJobs;
}

export function createDiskHandlers(services: DiskHandlerServices): Pick<Handlers, DiskCalls> {
  const { jobs } = services;
  /** A call whose body is worked on in a job of the caller's. */
  const inJob =
    <Body extends { readonly job: string }, Value>(
      operate: (work: DiskWork, body: Body) => Promise<Outcome<Value>>,
    ) =>
    async (call: {
      readonly identity: Identity;
      readonly body: Body;
      readonly closed: () => AbortSignal;
    }): Promise<Outcome<Value>> => {
      const { identity, body } = call;
      if (!mayHaveJobs(services, identity)) return refused(identity);
      const policy = services.policy();
      if (!policy.ok) return policy;
      return await jobs.run({ name: body.job, uid: identity.uid, signal: call.closed() }, (job) =>
        operate(new DiskWork(services, job, { identity, policy: policy.value }), body),
      );
    };
  return {
    disks: ({ identity }) => listDisks(services, identity),
    diskProgress: ({ identity, params }) => {
      const progress = jobs.progress(params.job, identity.uid);
      if (progress === undefined)
        return failure(
          'request-invalid',
          `no job ${params.job} of yours is under way`,
          'it has ended, or never began',
        );
      return success({ job: params.job, ...progress });
    },
    diskInfo: inJob(diskInfo),
    diskCreate: inJob(diskCreate),
    diskConvert: inJob(diskConvert),
    diskImport: inJob(diskImport),
    diskResize: inJob(diskResize),
    diskCheck: inJob(diskCheck),
    diskRebase: inJob(diskRebase),
    diskCommit: inJob(diskCommit),
    diskSnapshot: inJob(diskSnapshot),
  };
}

/**
 * SECURITY: promise 4. Who may define machines, or has one, may have jobs with own files; operators may not. Which files, the
 * broker decides: by claims, and for administrators by the policy.
 */
function mayHaveJobs({ machines }: DiskHandlerServices, identity: Identity): boolean {
  return identity.definer || machines.all().some((machine) => machines.ownerOf(machine) === identity.uid);
}

function refused(identity: Identity): Outcome<never> {
  return failure(
    'not-allowed',
    `user ${identity.user} may not work on images`,
    'owners of machines and those whom the policy lets define machines may',
  );
}
