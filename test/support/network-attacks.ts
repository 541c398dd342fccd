/**
 * What guests of a managed network try against it, its machines and the host, for tests on any host: `evil` is the guest that tries, `web` and `db` are
 * the first machines of network `lan`, 10.77.0.0/24, and the world beyond the host is as in uplink.ts.
 */
import assert from 'node:assert/strict';

export interface NetworkSite {
  /** What a command in the guest of a machine prints. */
  readonly inGuest: (machine: string, command: string) => Promise<string>;
  /** What a program of the host prints. */
  readonly onHost: (...words: readonly string[]) => string | Promise<string>;
  /** Stops the server of the network, or lets it go on. */
  readonly signalServer: (signal: 'SIGSTOP' | 'SIGCONT') => Promise<void>;
}

export interface NetworkAttacks {
  /** Each says whether it came through, and leaves the guests as they were. */
  readonly attacks: Readonly<Record<string, () => Promise<boolean>>>;
  /** What an honest guest does; throws where it fails. */
  readonly honest: () => Promise<void>;
  /** Whether the guest that attacks still reaches its neighbour. */
  readonly goesOn: () => Promise<void>;
}

const [web, db, gateway] = ['10.77.0.3', '10.77.0.4', '10.77.0.1'];
const forgedMac = '52:54:00:66:66:66';

export const lost = /100% packet loss|bad address|unreachable/;
const arrives = / 0% packet loss| [1-9]\d?% packet loss/;

/** When they are tried the guests must be up, with their addresses. */
export function networkAttacks({ inGuest, onHost, signalServer }: NetworkSite): NetworkAttacks {
  const evil = (command: string): Promise<string> => inGuest('evil', command);
  const macOf = (machine: string): Promise<string> => inGuest(machine, 'cat /sys/class/net/eth0/address');
  let own: Promise<string> | undefined;
  const ownMac = (): Promise<string> => (own ??= macOf('evil'));

  /** What the shell does, as a guest may do to its own card; everything is as it was afterwards. */
  const withMac = async (mac: string, command: string): Promise<string> => {
    const change = (to: string): string =>
      `ip link set eth0 down; ip link set eth0 address ${to}; ip link set eth0 up; ip route add default via ${gateway} 2>/dev/null; sleep 1`;
    return `${change(mac)}; ${command}; ${change(await ownMac())}`;
  };

  const portOf = async (mac: string): Promise<string | undefined> =>
    new RegExp(`^${mac} dev (\\S+)`, 'm').exec(await onHost('bridge', 'fdb', 'show', 'br', 'qw-lan'))?.[1];

  const fetches = async (target: string): Promise<boolean> =>
    /a page of/.test(await evil(`timeout 3 wget -q -O - http://${target}/ 2>&1`));

  /** Whether it is answered, as whoever has the address. */
  const sendsFrom = async (source: string): Promise<boolean> => {
    const [add, remove] = ['add', 'delete'].map((what) => `ip address ${what} ${source}/32 dev eth0`);
    return arrives.test(await evil(`${add}; sleep 1; ping -I ${source} -c 3 -w 4 ${db}; ${remove}`));
  };

  const attacks: NetworkAttacks['attacks'] = {
    'a frame from another MAC address': async () =>
      !lost.test(await evil(await withMac(forgedMac, `ping -c 3 -w 4 ${web}`))),
    'the MAC address of another card, to have its frames': async () => {
      const [mac, port] = [await macOf('web'), await portOf(await ownMac())];
      assert.ok(port, 'the guest that attacks has said nothing yet');
      const words = await withMac(mac, `ping -c 6 -w 7 ${db}; arping -c 2 -w 3 -I eth0 ${db}`);
      await evil(`(${words}; touch /tmp/over) >/dev/null 2>&1 & true`);
      // Looked at meanwhile: the next frame of the other takes it back.
      let came = false;
      for (let look = 0; look < 20 && !came; look += 1) {
        came = (await portOf(mac)) === port;
        await onHost('sleep', '0.4');
      }
      await evil('for i in $(seq 60); do [ -e /tmp/over ] && break; sleep 0.5; done; rm -f /tmp/over');
      return came;
    },
    'a packet from the address of another': () => sendsFrom(web),
    'a packet from an address that nobody has': () => sendsFrom('10.77.0.99'),
    'ARP that says to be the gateway': async () => {
      await inGuest('web', `ping -c 1 -w 3 ${gateway}`);
      // Looked at meanwhile: whatever the gateway says next puts it right again.
      await inGuest(
        'web',
        `(for i in $(seq 60); do ip neigh show ${gateway}; sleep 0.3; done >/tmp/seen 2>&1) & true`,
      );
      await evil(
        `ip address add ${gateway}/32 dev eth0; arping -U -c 6 -w 7 -I eth0 -s ${gateway} ${gateway}; ip address delete ${gateway}/32 dev eth0`,
      );
      return (await inGuest('web', 'cat /tmp/seen')).includes(await ownMac());
    },
    'an answer to ARP for another': async () => {
      await evil(`ip address add ${web}/32 dev eth0`);
      await inGuest('db', `ip neigh flush dev eth0; ip neigh flush dev eth0`);
      // The other is silent, so that nobody but the forger would answer.
      await inGuest('web', 'ip link set eth0 down');
      await inGuest('db', `ping -c 2 -w 3 ${web}`);
      const neighbours = await inGuest('db', `ip neigh show ${web}`);
      await evil(`ip address delete ${web}/32 dev eth0`);
      await inGuest('web', `ip link set eth0 up; ip route add default via ${gateway} 2>/dev/null; sleep 1`);
      return neighbours.includes(await ownMac());
    },
    'a DHCP server of its own': async () => {
      await evil(
        'touch /tmp/leases; printf "start 10.77.0.200\\nend 10.77.0.210\\ninterface eth0\\nlease_file /tmp/leases\\npidfile /tmp/udhcpd.pid\\noption router 10.77.0.5\\n" >/tmp/udhcpd.conf; udhcpd /tmp/udhcpd.conf; sleep 1',
      );
      // The network's own is held, so that only the forger would answer.
      await signalServer('SIGSTOP');
      const got = await inGuest(
        'web',
        'printf "#!/bin/sh\\n[ \\$1 = bound ] && echo got \\$ip\\nexit 0\\n" >/tmp/show; chmod 755 /tmp/show; udhcpc -i eth0 -f -q -n -t 3 -T 1 -s /tmp/show 2>&1',
      );
      await signalServer('SIGCONT');
      await evil('killall udhcpd');
      return /got 10\.77\.0\.2\d\d/.test(got);
    },
    'IPv6, with all that it can announce': async () => {
      const address = /fe80::[0-9a-f:]+/.exec(await inGuest('web', 'ip -6 address show dev eth0'))?.[0] ?? '';
      assert.notEqual(address, '', 'the guest has no IPv6');
      return arrives.test(await evil(`ping -6 -c 3 -w 4 ${address}%eth0`));
    },
    "a service of the host's, by its address in the network": () => fetches(`${gateway}:8000`),
    "a service of the host's, by another address": () => fetches('192.0.2.2:8000'),
    'the metadata service of clouds': () => fetches('169.254.169.254'),
    'the metadata service of Alibaba': () => fetches('100.100.100.200'),
  };
  return {
    attacks,
    honest: async () => {
      assert.match(await evil(`ping -c 2 -w 5 ${web}`), / 0% packet loss/);
      assert.match(await evil('timeout 5 wget -q -O - http://192.0.2.1/'), /a page of the world/);
      assert.match(await evil(`ping -c 1 -w 5 ${gateway}`), / 0% packet loss/);
    },
    goesOn: async () => assert.match(await evil(`ping -c 2 -w 5 ${web}`), arrives, 'the network goes on'),
  };
}
