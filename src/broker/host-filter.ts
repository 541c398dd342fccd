/**
 * The packet filter that closes the host to user networks, whose passt is in the host's network namespace: one table of nftables
 * for each instance, there as long as one of them runs (nft(8)).
 */
import type { Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import { filterRules, helperSentinel } from '../protocol/passt.ts';
import { refuse, type BrokerContext } from './context.ts';
import { Failed, listTables, nft } from './run-program.ts';

type FilterContext = Pick<BrokerContext, 'cgroupParent' | 'records' | 'readPolicy'>;

const nameOf = ({ cgroupParent }: FilterContext): string =>
  cgroupParent.replaceAll(/[^a-zA-Z0-9]+/g, '_').replace(/^_/, '');
const withoutTable = (context: FilterContext): readonly string[] =>
  ['table', 'delete table'].map((word) => `${word} inet ${nameOf(context)}`);

/** Loads the filter anew, in one step; the refusal where it cannot be. */
export function closeHost(context: FilterContext, range: Policy['uidRange']): readonly Refusal[] {
  // A policy that was changed has another range than those who run.
  const uids = context.records.helpers().map(({ uid }) => uid);
  const others = uids.filter((uid) => uid < range.base || uid >= range.base + range.count);
  const ranges = [range, ...others.map((uid) => ({ base: uid, count: 1 }))];
  const rules = [`table inet ${nameOf(context)} {`, ...filterRules(ranges, uids), '}', ''];
  try {
    nft([...withoutTable(context), ...rules].join('\n'));
    return [];
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return refuse(
      'wall-missing',
      `the host cannot be closed to a user network: ${error.message}`,
      'apt-get install nftables; the kernel must have nf_tables, nf_conntrack and nft_fib',
    ).refusals;
  }
}

/** Nothing is left of it. */
export function openHost(context: FilterContext): void {
  try {
    nft(`${withoutTable(context).join('\n')}\n`);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
  }
}

/**
 * As it is in force; empty: there is none.
 * SECURITY: promise 2. One that does not have the passt of this uid, whoever took it away (a reload of a firewall), is loaded again first.
 */
export function listFilter(context: FilterContext, uid: number): string {
  const list = (): string => listTables([['inet', nameOf(context)]]);
  const [listed, policy] = [list(), context.readPolicy()];
  if (listed.includes(helperSentinel(uid)) || !policy.ok) return listed;
  closeHost(context, policy.policy.uidRange);
  return list();
}
