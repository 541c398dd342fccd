/** Where an instance lies and who its manager is: the same options for `host up`, `down` and `status`. */
import { accountNamed, groupIdOf } from '../linux/accounts.ts';
import { pathsBelow, type Paths, type Roots } from '../protocol/paths.ts';

export interface HostSite {
  readonly roots: Roots;
  readonly paths: Paths;
  readonly managerUid: number;
  readonly managerGid: number;
  readonly cgroupParent: string;
}

export interface SiteOptions {
  readonly roots: Roots;
  /** Account of the manager; its group is the one of the same name, else the account's own. */
  readonly managerUser: string;
  /** Number instead of an account: an instance that leaves no account behind. */
  readonly managerUid: number | undefined;
  readonly cgroupParent: string;
}

export type SiteOutcome =
  | { readonly ok: true; readonly site: HostSite }
  | { readonly ok: false; readonly message: string; readonly hint: string };

export function locateSite(options: SiteOptions): SiteOutcome {
  const { roots, managerUser, managerUid, cgroupParent } = options;
  const shared = { roots, paths: pathsBelow(roots), cgroupParent };
  if (managerUid !== undefined) return { ok: true, site: { ...shared, managerUid, managerGid: managerUid } };
  const account = accountNamed(managerUser);
  if (account === undefined) {
    return {
      ok: false,
      message: `there is no user "${managerUser}" for the manager to run as`,
      hint: `useradd --system --user-group --home-dir ${roots.state} --shell /usr/sbin/nologin ${managerUser}`,
    };
  }
  return {
    ok: true,
    site: { ...shared, managerUid: account.uid, managerGid: groupIdOf(managerUser) ?? account.gid },
  };
}
