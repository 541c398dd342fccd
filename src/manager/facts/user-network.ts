/** What user networks need to know of the host: passt, the host's name servers, and which ports are root's alone. */
import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { UserNetworkFacts } from '../../plan/launch-plan.ts';
import { unlessMissing } from '../../linux/errno.ts';
import type { Outcome } from '../outcome.ts';
import type { ToolKind } from './tool.ts';
import type { JobTool } from '../../plan/disk-job.ts';

/** Debian's package has a build for CPUs with AVX2 beside the plain one, which would replace itself by it. */
export const networkHelper: ToolKind = {
  key: 'networkHelpers',
  code: 'helper-missing',
  what: 'network helper',
  package: 'passt',
  order: (binaries) => {
    const wide = binaries.filter((binary) => binary.endsWith('.avx2'));
    const plain = binaries.filter((binary) => !binary.endsWith('.avx2'));
    return hasAvx2() ? [...wide, ...plain] : plain;
  },
};

const hasAvx2 = (): boolean => /^flags\s*:.*\savx2\s/m.test(readIfThere('/proc/cpuinfo'));

/** systemd-resolved listens on loopback; these are the servers that it asks. */
const resolverFiles = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
/** As many as passt tells a guest. */
const maxServers = 3;

export async function gatherUserNetwork(passt: () => Promise<Outcome<JobTool>>): Promise<UserNetworkFacts> {
  const tool = await passt();
  const own = ownAddresses();
  return {
    passt: tool.ok ? tool.value : null,
    nameServers: nameServersOf(resolverFiles.map(readIfThere), own),
    firstPort: firstPortOf(readIfThere('/proc/sys/net/ipv4/ip_unprivileged_port_start')),
  };
}

/** None where they cannot be told: the manager's unit has no AF_NETLINK, by which they are asked for. */
function ownAddresses(): readonly string[] {
  try {
    return Object.values(networkInterfaces()).flatMap((addresses = []) =>
      addresses.map(({ address }) => address),
    );
  } catch {
    return [];
  }
}

/** The servers of the first text that has any which a guest reaches: none of the host itself, none of a link (resolv.conf(5)). */
export function nameServersOf(texts: readonly string[], own: readonly string[]): readonly string[] {
  const lists = texts.map((text) =>
    [...text.matchAll(/^nameserver[ \t]+([0-9a-f.:]+)[ \t]*$/gim)]
      .map(([, address = '']) => address.toLowerCase())
      .filter((address) => !/^(?:127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe[89ab])/.test(address))
      .filter((address) => !own.includes(address)),
  );
  return [...new Set(lists.find((list) => list.length > 0) ?? [])].slice(0, maxServers);
}

const firstPortOf = (text: string): number => (/^\d+\s*$/.test(text) ? Number(text) : 1024);

const readIfThere = (path: string): string => unlessMissing(() => readFileSync(path, 'utf8')) ?? '';

/** What stands in the way of user networks beside passt itself; undefined: nothing. */
export function lackOfUserNetwork(
  session: boolean,
): { readonly found: string; readonly cure: string } | undefined {
  if (!session && !existsSync('/usr/sbin/nft'))
    return {
      found: 'there is no nft, by which the host is closed to guests',
      cure: 'apt-get install nftables',
    };
  const closed = [
    { path: 'user/max_user_namespaces', when: '0', cure: 'sysctl user.max_user_namespaces=65536' },
    {
      path: 'kernel/unprivileged_userns_clone',
      when: '0',
      cure: 'sysctl kernel.unprivileged_userns_clone=1',
    },
  ].find(({ path, when }) => readIfThere(`/proc/sys/${path}`).trim() === when);
  return closed === undefined
    ? undefined
    : { found: `users may make no user namespace (${closed.path}), and passt does`, cure: closed.cure };
}
