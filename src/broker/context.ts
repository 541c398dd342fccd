/** What every request handler of the broker is given. */
import type { CgroupMounts } from '../jail/cgroups.ts';
import { rootsOf, type StorageRoot } from '../policy/file-rules.ts';
import type { Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import type { Paths } from '../protocol/paths.ts';
import type { AutostartRegister } from './autostart.ts';
import type { Claims } from './claims.ts';
import type { Means } from './means.ts';
import type { NetworkRegister } from './networks.ts';
import type { Records } from './records.ts';
import type { ChosenRuntime } from './runtime-choice.ts';
import type { Slots } from './slots.ts';

export interface BrokerContext {
  readonly paths: Paths;
  /** Parent of the machines' cgroups, `/qward`; empty: they have none of their own. */
  readonly cgroupParent: string;
  /** Where the slice of scopes lies, below the mount of the hierarchy: empty, or the service of the user's own systemd. */
  readonly scopeBase: string;
  /** Of the machines' logs; null: each lies beside its machine's sockets. */
  readonly logDirectory: string | null;
  /** Machines are scopes of systemd: `qward-NAME.scope` in `qward.slice`. */
  readonly scopes: boolean;
  /** Group of the manager, which alone may enter the directories of sockets. */
  readonly managerGid: number;
  readonly managerUid: number;
  readonly cgroups: CgroupMounts;
  /** Read anew for each request; refused where the file is not the administrator's alone. */
  readonly readPolicy: () =>
    | { readonly ok: true; readonly policy: Policy }
    | { readonly ok: false; readonly refusals: readonly Refusal[] };
  readonly runtime: () => Promise<ChosenRuntime>;
  readonly means: Means;
  readonly slots: Slots;
  readonly records: Records;
  /** What users let machines open with their rights. */
  readonly claims: Claims;
  readonly autostart: AutostartRegister;
  /** Networks that administrators made, and the addresses of machines in them. */
  readonly networks: NetworkRegister;
  /** Of a session: calls once the manager that started it is gone. It stays as long as that lives. */
  readonly whenAlone?: (alone: () => void) => void;
  /** Machines with a request under way that changes them. */
  readonly busy: Set<string>;
}

export type HandlerOutcome =
  /** The descriptor goes with the reply, and is closed here. `idle`: there was nothing to do; for the log alone. */
  | { readonly ok: true; readonly result: unknown; readonly descriptor?: number; readonly idle?: boolean }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

export function refuse(
  code: string,
  message: string,
  hint: string,
  rule?: string,
): { readonly ok: false; readonly refusals: readonly Refusal[] } {
  return { ok: false, refusals: [{ code, message, hint, ...(rule === undefined ? {} : { rule }) }] };
}

/** The policy's storage roots and the manager's own store of UEFI variables. */
export function storageRoots(
  policy: Policy,
  { paths, managerUid }: Pick<BrokerContext, 'paths' | 'managerUid'>,
): StorageRoot[] {
  return rootsOf(policy, { path: paths.vars, ownedBy: managerUid });
}
