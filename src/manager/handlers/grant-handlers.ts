/** Calls that give rights on a machine to others, take them back, and give the machine itself away. */
import type { GrantableRight, Grants } from '../../api/contract.ts';
import { accountNamed, accountOf, groupIdOf } from '../../linux/accounts.ts';
import type { NameLocks } from '../definitions/name-locks.ts';
import type { RenameServices } from '../definitions/rename-machine.ts';
import { granteeText, withGrant, withoutGrant, type Grantee } from '../grants.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';
import type { Grant, Metadata } from '../store/metadata.ts';

type GrantCalls = 'grants' | 'grant' | 'revoke' | 'give';
interface Services extends Pick<
  RenameServices,
  'store' | 'machines' | 'events' | 'locks' | 'broker' | 'admit'
> {
  /** By owner, as for definitions. */
  readonly owners: NameLocks;
}

export function createGrantHandlers(services: Services): Pick<Handlers, GrantCalls> {
  const { machines, events } = services;
  return {
    grants: ({ machine }) =>
      success(describe(machines.summary(machine).owner, machine, machine.record?.metadata.grants ?? [])),
    grant: async ({ machine, identity, body }) => {
      const grantee = findGrantee(body.who);
      if (!grantee.ok) return grantee;
      const { value } = grantee;
      const outcome = await change(services, machine, (grants) => withGrant(grants, value, body.rights));
      if (!outcome.ok) return outcome;
      const details = { to: granteeText(value), rights: body.rights.join(',') };
      events.emit('machine.granted', machine.name, identity.user, details);
      return success(describe(machines.summary(machine).owner, machine, outcome.value));
    },
    revoke: async ({ machine, identity, body }) => {
      const outcome = await change(services, machine, (grants) =>
        revoked(grants, body.who, body.rights ?? null),
      );
      if (!outcome.ok) return outcome;
      const details = {
        from: body.who,
        ...(body.rights === undefined ? {} : { rights: body.rights.join(',') }),
      };
      events.emit('machine.revoked', machine.name, identity.user, details);
      return success(describe(machines.summary(machine).owner, machine, outcome.value));
    },
    give: async ({ machine, identity, body }) => {
      const account = accountOfWord(body.to);
      if (account === undefined) return noUser(body.to);
      // As with `rm`: the operation takes the names.
      const given = await machine.change(
        () =>
          services.locks.hold([machine.name], () =>
            services.owners.hold([String(account.id)], () =>
              give(services, machine, { to: account, by: identity.uid }),
            ),
          ),
        { evenElsewhere: true },
      );
      if (!given.ok) return given;
      machine.life.note(`${given.value} by ${identity.user}`);
      events.emit('machine.given', machine.name, identity.user, { to: account.name });
      return success({ name: machine.name, state: machine.state, outcome: given.value });
    },
  };
}

/** SECURITY: promise 4. What the owner before granted, and claimed, was for a machine of that owner's. */
async function give(
  services: Services,
  machine: Machine,
  { to, by }: { readonly to: { readonly id: number; readonly name: string }; readonly by: number },
): Promise<Outcome<string>> {
  const { record, name } = machine;
  if (record !== null && record.metadata.owner !== to.id) {
    const asked = { owner: to.id, by, dryRun: false };
    const admitted = await services.admit(record.definition, asked);
    if (!admitted.ok) return admitted;
    const forgotten = await services.broker.call('forget', { machine: name });
    if (!forgotten.ok) return forgotten;
  }
  const put = await keep(services, machine, { owner: to.id, grants: [] });
  return put.ok ? success(`given to ${to.name}`) : put;
}

function describe(owner: string, { name }: Machine, grants: readonly Grant[]): Grants {
  return {
    name,
    owner,
    grants: grants.map((grant) => ({ who: granteeText(grant), id: grant.id, rights: [...grant.rights] })),
  };
}

/** A change of the grants as they are when it is its turn. */
async function change(
  services: Services,
  machine: Machine,
  next: (grants: readonly Grant[]) => Outcome<readonly Grant[]>,
): Promise<Outcome<readonly Grant[]>> {
  return await services.locks.hold([machine.name], async () => {
    const grants = next(machine.record?.metadata.grants ?? []);
    if (!grants.ok) return grants;
    const kept = await keep(services, machine, { grants: grants.value });
    return kept.ok ? grants : kept;
  });
}

async function keep({ store }: Services, machine: Machine, part: Partial<Metadata>): Promise<Outcome<void>> {
  const { record, name } = machine;
  if (record === null)
    return failure('machine-unknown', `machine "${name}" is not defined`, 'it belongs to nobody');
  const metadata = { ...record.metadata, ...part };
  const put = await store.putMetadata(name, metadata);
  if (put.ok) machine.record = { ...record, metadata };
  return put;
}

/** Also by the name that the user or group had when it was granted. */
function revoked(
  grants: readonly Grant[],
  who: string,
  rights: readonly GrantableRight[] | null,
): Outcome<readonly Grant[]> {
  const kept = grants.find(
    (grant) => granteeText(grant) === who || granteeText({ ...grant, name: String(grant.id) }) === who,
  );
  const found = kept === undefined ? findGrantee(who) : success(kept);
  if (!found.ok) return found;
  const left = withoutGrant(grants, found.value, rights);
  if (left !== undefined) return success(left);
  return failure('request-invalid', `${who} was not granted that`, '`qward grants` shows what was granted');
}

function findGrantee(who: string): Outcome<Grantee> {
  if (!who.startsWith('@')) {
    const account = accountOfWord(who);
    return account === undefined ? noUser(who) : success({ kind: 'user', ...account });
  }
  const name = who.slice(1);
  const id = /^\d{1,10}$/.test(name) ? Number(name) : groupIdOf(name);
  if (id === undefined)
    return failure('request-invalid', `there is no group ${JSON.stringify(name)}`, 'see `getent group`');
  return success({ kind: 'group', id, name });
}

const noUser = (word: string): Outcome<never> =>
  failure(
    'request-invalid',
    `there is no user ${JSON.stringify(word)}`,
    'see `getent passwd`; a group is written @GROUP',
  );

/** By name, or by uid where it is an account's. */
function accountOfWord(word: string): { readonly id: number; readonly name: string } | undefined {
  const account = accountNamed(word) ?? (/^\d{1,10}$/.test(word) ? accountOf(Number(word)) : undefined);
  return account === undefined ? undefined : { id: account.uid, name: account.name };
}
