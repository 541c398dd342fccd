/** The lab's host in a network, with a world beyond it, and what suites of networks do with guests there. */
import { join } from 'node:path';
import { build } from 'esbuild';
import type { LabHost } from './host.ts';

/**
 * As test/support/uplink.ts has it: the host is 192.0.2.2, the world 192.0.2.1 and the addresses of metadata services, in a network
 * namespace; each has a page, the world on port 80 of all of its addresses, the host on port 8000.
 */
export const worldScript = `set -e
ip netns add world
ip link add up0 type veth peer name up1 netns world
ip address add 192.0.2.2/24 dev up0
ip address add 2001:db8::2/64 dev up0 nodad
ip link set up0 up
for address in 192.0.2.1/24 169.254.169.254/32 169.254.1.1/32 100.100.100.200/32; do
  ip -n world address add $address dev up1
done
ip -n world address add 2001:db8::1/64 dev up1 nodad
ip -n world address add fd00:ec2::254/128 dev up1 nodad
ip -n world link set lo up
ip -n world link set up1 up
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8::1
mkdir -p /run/site/world /run/site/host
echo 'a page of the world' >/run/site/world/index.html
echo 'a page of the host' >/run/site/host/index.html
ip netns exec world busybox httpd -p 80 -h /run/site/world
busybox httpd -p 8000 -h /run/site/host`;

/** Puts a program of lab/inside into /lab of the host, for qward's own runtime: /usr/lib/qward/node /lab/NAME.js. */
export async function bringProgram(
  directory: string,
  name: 'in-guest' | 'image-mirror' | 'see-screen' | 'throughput',
): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, `inside/${name}.ts`)],
    outfile: join(directory, `${name}.js`),
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    logLevel: 'warning',
  });
}

/** A word of the shell, whatever is in it. */
export const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Runs commands in the shells of demo guests, by the program `in-guest`; gives what they print. */
export const commandsInGuests =
  (host: Pick<LabHost, 'demand'>, socket = '/run/qward/api.sock') =>
  async (machine: string, command: string): Promise<string> =>
    (
      await host.demand(
        `/usr/lib/qward/node /lab/in-guest.js ${socket} ${quoted(machine)} ${quoted(command)}`,
        150_000,
      )
    ).trimEnd();

/** Waits until the console of a machine has shown what fits an extended regular expression. */
export const untilConsole = (machine: string, wanted: string, command = 'qward'): string =>
  `for i in $(seq 120); do ${command} console --log ${machine} | grep -aqE ${quoted(wanted)} && break; sleep 1; done
${command} console --log ${machine} | grep -aE ${quoted(wanted)}`;
