/**
 * The packet filter that closes the host to user networks, whose passt is in the host's network namespace: one table of nftables
 * for each instance, there as long as one of them runs (nft(8)).
 */
import { spawnSync } from 'node:child_process';
import type { Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import { filterRules, helperSentinel } from '../protocol/passt.ts';
import { refuse, type BrokerContext } from './context.ts';

const nft = '/usr/sbin/nft';
const deadlineMs = 10_000;

type FilterContext = Pick<BrokerContext, 'cgroupParent' | 'records' | 'readPolicy'>;

const tableOf = ({ cgroupParent }: FilterContext): string =>
  `inet ${cgroupParent.replaceAll(/[^a-zA-Z0-9]+/g, '_').replace(/^_/, '')}`;

function runNft(args: readonly string[], input = ''): { readonly ok: boolean; readonly output: string } {
  const { status, stdout, stderr, error } = spawnSync(nft, args, {
    input,
    env: {},
    cwd: '/',
    encoding: 'utf8',
    timeout: deadlineMs,
  });
  return { ok: status === 0, output: status === 0 ? stdout : (error?.message ?? stderr).slice(0, 500) };
}

/** Loads the filter anew, in one step; the refusal where it cannot be. */
export function closeHost(context: FilterContext, range: Policy['uidRange']): readonly Refusal[] {
  // A policy that was changed has another range than those who run.
  const uids = context.records.helpers().map(({ uid }) => uid);
  const others = uids.filter((uid) => uid < range.base || uid >= range.base + range.count);
  const ranges = [range, ...others.map((uid) => ({ base: uid, count: 1 }))];
  const table = tableOf(context);
  const rules = [`table ${table} {`, ...filterRules(ranges, uids), '}'];
  const { ok, output } = runNft(
    ['-f', '-'],
    [`table ${table}`, `delete table ${table}`, ...rules, ''].join('\n'),
  );
  if (ok) return [];
  return refuse(
    'wall-missing',
    `the host cannot be closed to a user network: ${nft}: ${output.trim()}`,
    'apt-get install nftables; the kernel must have nf_tables, nf_conntrack and nft_fib',
  ).refusals;
}

/** Nothing is left of it. */
export function openHost(context: FilterContext): void {
  const table = tableOf(context);
  runNft(['-f', '-'], `table ${table}\ndelete table ${table}\n`);
}

/**
 * As it is in force; empty: there is none.
 * SECURITY: promise 2. One that does not have the passt of this uid, whoever took it away (a reload of a firewall), is loaded again first.
 */
export function listFilter(context: FilterContext, uid: number): string {
  const list = (): string => {
    const { ok, output } = runNft(['list', 'table', ...tableOf(context).split(' ')]);
    return ok ? output : '';
  };
  const [listed, policy] = [list(), context.readPolicy()];
  if (listed.includes(helperSentinel(uid)) || !policy.ok) return listed;
  closeHost(context, policy.policy.uidRange);
  return list();
}
