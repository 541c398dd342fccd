/** What holds machines to what their owners may have, put together. */
import type { Paths } from '../protocol/paths.ts';
import type { BrokerPort } from './broker-port.ts';
import { createAdmission, type Admit } from './definitions/admission.ts';
import { createFileChecks } from './file-checks.ts';
import { createOwners, type LookUpOwner } from './owners.ts';
import type { PolicySource } from './policy-source.ts';
import { Quotas, type CountedMachine } from './quotas.ts';
import { createKeptBytes } from './saved/kept-bytes.ts';
import type { ScratchFiles } from './throwaway/scratch-files.ts';

export interface OwnerParts {
  readonly owner: LookUpOwner;
  readonly quotas: Quotas;
  readonly admit: Admit;
}

export interface OwnerPartsServices {
  readonly paths: Paths;
  readonly broker: BrokerPort;
  readonly policy: PolicySource;
  readonly machines: () => readonly CountedMachine[];
  readonly scratch: ScratchFiles;
}

export function createOwnerParts({
  paths,
  broker,
  policy,
  machines,
  scratch,
}: OwnerPartsServices): OwnerParts {
  const owner = createOwners(() => policy.current());
  const files = createFileChecks({ broker, ownership: owner, scratch });
  const quotas = new Quotas({
    machines,
    owner,
    diskBytes: files.diskBytes,
    scratch,
    keptBytes: createKeptBytes(paths.managerState),
  });
  const admit = createAdmission({
    ownState: paths.own,
    policy: () => policy.current(),
    owner,
    quotas,
    files,
  });
  return { owner, quotas, admit };
}
