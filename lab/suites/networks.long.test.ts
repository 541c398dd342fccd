/**
 * Networks on a real host with the installed package, under KVM: managed ones by real nftables and dnsmasq, user networks by passt in both instances,
 * each helper under its AppArmor profile, and what guests try against them. Some fifteen minutes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lost, networkAttacks } from '../../test/support/network-attacks.ts';
import { guestScript } from '../payload.ts';
import { asUser, installedHost } from '../suite-host.ts';
import { bringProgram, commandsInGuests, untilConsole, worldScript } from '../world.ts';

const prepare = `${worldScript}
useradd --create-home --shell /bin/bash ann
chmod 0700 /home/ann
install -o ann -g ann -m 0600 /lab/vmlinuz /lab/initrd.cpio /home/ann/
usermod --append --groups kvm ann
systemctl set-property user.slice AllowedCPUs=1
loginctl enable-linger ann`;

const host = await installedHost({ bring: (directory) => bringProgram(directory, 'in-guest'), prepare });
const inGuest = commandsInGuests(host);
const limitMs = 300_000;

const networkOf: Readonly<Record<string, string>> = { web: 'lan', db: 'lan', evil: 'lan', cage: 'lab' };
const nic = (network: string): string => `nics: [{ id: net, kind: network, network: ${network} }]`;
const serverOf = (network: string): string =>
  `$(pgrep -f '^/usr/sbin/dnsmasq.*--domain=${network}.internal')`;
const page = (from: string, url: string): string => `${from} busybox timeout 10 busybox wget -q -O - ${url}`;
const inWorld = 'ip netns exec world';

/** What is on the host beside its own links. */
const remains = async (): Promise<string> =>
  (
    await host.demand(
      `ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' | grep -vxE 'lo|up0' || true; nft list tables; pgrep -a 'passt|dnsmasq' || true`,
    )
  ).trim();

interface Row {
  readonly wall: string;
  readonly verdict: string;
  readonly found: string;
}
interface Audit {
  readonly ok: boolean;
  readonly pid: number;
  readonly rows: readonly Row[];
  readonly helpers?: readonly { readonly ok: boolean; readonly pid: number; readonly rows: readonly Row[] }[];
}
const walls = (rows: readonly Row[] = []): Readonly<Record<string, Row>> =>
  Object.fromEntries(rows.map((row) => [row.wall, row]));
const auditOf = async (machine: string): Promise<Audit> =>
  JSON.parse(await host.demand(`qward audit ${machine} --json`, limitMs)) as Audit;

/** What AppArmor has refused to the servers of networks, and to passt by Debian's profile. What the drill tries is refused by that of QEMU. */
const denials = async (): Promise<string> =>
  (
    await host.demand(
      `dmesg | grep 'apparmor="DENIED"' | grep -E 'profile="(qward-dnsmasq|qward-passt|passt)"' || true`,
    )
  ).trim();

test('what the package recommends is all that networks need', async () => {
  const recommended = await host.demand(`dpkg-query -W -f '\${Recommends}' qward | tr -d ' ' | tr ',' '\\n'`);
  for (const name of ['passt', 'nftables', 'dnsmasq-base', 'iproute2'])
    assert.match(recommended, new RegExp(`^${name}$`, 'm'));
  for (const name of recommended.trim().split('\n'))
    assert.equal(await host.demand(`dpkg-query -W -f '\${db:Status-Status}' ${name}`), 'installed', name);
});

test('guests of managed networks get addresses, names and servers, and find one another', async () => {
  assert.match(await host.demand('qward network create lan --subnet 10.77.0.0/24 --nat'), /^lan: made$/m);
  await host.demand('qward network create lab --subnet 10.78.0.0/24 --isolated --user ann');
  for (const [name, network] of Object.entries(networkOf)) {
    await host.demand(guestScript(name, 'qward.net', nic(network)));
    assert.match(await host.demand(`qward start ${name}`, limitMs), /started/);
  }
  for (const [name, said] of [
    ['web', '10.77.0.3/24 via 10.77.0.1, servers 10.77.0.2'],
    ['db', '10.77.0.4/24 via 10.77.0.1, servers 10.77.0.2'],
    ['evil', '10.77.0.5/24 via 10.77.0.1, servers 10.77.0.2'],
    ['cage', '10.78.0.3/24 via , servers 10.78.0.2'],
  ] as const)
    await host.demand(untilConsole(name, `network ${said}`), limitMs);
  assert.match(await host.demand('qward list'), /\nweb .* 10\.77\.0\.3 /);
  assert.match(await inGuest('web', 'nslookup -type=a db.lan.internal'), /Address: 10\.77\.0\.4/);
  assert.match(await inGuest('db', 'timeout 10 wget -q -O - http://web/'), /^hello from /);
});

test('each machine and each server stands behind its walls, under its profile', async () => {
  for (const machine of Object.keys(networkOf)) {
    const { ok, rows, helpers = [] } = await auditOf(machine);
    assert.ok(ok);
    assert.match(walls(rows)['lsm']?.found ?? '', /qward-qemu \(enforce\)/);
    const [server] = helpers;
    assert.ok(server?.ok, JSON.stringify(helpers));
    assert.match(walls(server.rows)['lsm']?.found ?? '', /qward-dnsmasq \(enforce\)/);
    assert.match(
      await host.demand(`cat /proc/${server.pid}/cgroup`),
      /^0::\/qward\.slice\/qward-qward-dns-\w+\.scope\n$/,
    );
  }
  assert.equal(await denials(), '');
});

const { attacks, honest, goesOn } = networkAttacks({
  inGuest,
  onHost: (...words) => host.demand(words.join(' ')),
  signalServer: async (signal) => void (await host.demand(`kill -${signal.slice(3)} ${serverOf('lan')}`)),
});

test('with NAT a guest reaches the world and the host reaches the guest; the world reaches none', async () => {
  await honest();
  assert.match(await host.demand(page('', 'http://10.77.0.3/')), /^hello from/);
  await host.demand('ip -n world route add 10.77.0.0/24 via 192.0.2.2');
  assert.notEqual((await host.run(page(inWorld, 'http://10.77.0.3/'))).status, 0);
  await host.demand('ip -n world route delete 10.77.0.0/24');
});

for (const [what, attack] of Object.entries(attacks))
  test(`closed: ${what}`, async () => {
    assert.equal(await attack(), false);
    await goesOn();
  });

test('a guest of an isolated network reaches nothing of the host, nor the other network', async () => {
  const mac = (await host.demand('cat /sys/class/net/qw-lab/address')).trim();
  await inGuest(
    'cage',
    `ip neigh add 10.78.0.1 lladdr ${mac} dev eth0; ip route add default via 10.78.0.1; ip neigh show`,
  );
  for (const target of ['192.0.2.2:8000', '10.77.0.1:8000', '192.0.2.1', '10.77.0.3', '169.254.169.254'])
    assert.doesNotMatch(
      await inGuest('cage', `timeout 5 wget -q -O - http://${target}/ 2>&1`),
      /a page|hello/,
      target,
    );
  assert.match(await inGuest('evil', 'ping -c 2 -w 3 10.78.0.3'), lost);
});

/** Of the network and of all networks: they come one after the other. */
const rulesAreBack = `for i in $(seq 60); do
  tables=$(nft list tables)
  [ "$(echo "$tables" | grep -cE 'bridge qw-lan$|inet qw-lan$|qw-forward$')" = 3 ] && exit 0
  sleep 0.5
done
echo "$tables"; exit 1`;

// The control: each was closed by these rules, and by nothing else of this host.
test('without the rules each of them works, and the manager has them loaded again', async () => {
  await host.demand(`nft add table inet control
nft 'add chain inet control output { type filter hook output priority 0; }'
nft add rule inet control output ip daddr 127.0.0.0/8 udp dport 9 drop
nft delete table bridge qw-lan
nft delete table inet qw-lan
nft delete table inet qw-forward
ip -n world route add 10.77.0.0/24 via 192.0.2.2`);
  for (const [what, attack] of Object.entries(attacks)) assert.equal(await attack(), true, what);
  await host.demand(`ip -n world route delete 10.77.0.0/24
nft delete table inet control
${rulesAreBack}`);
  assert.ok((await auditOf('evil')).ok);
});

test('a firewall that begins with `flush ruleset`, as Debian’s does, takes the rules away for moments alone', async () => {
  await host.demand(`grep -q 'flush ruleset' /etc/nftables.conf
systemctl restart nftables.service
${rulesAreBack}`);
  assert.match(await host.demand('nft list tables'), /table bridge qw-lan\n/);
  assert.ok((await auditOf('evil')).ok);
  assert.equal(await attacks['a packet from the address of another']?.(), false);
  await honest();
});

/** Of a guest on a user network: what is behind each address is the host's, or a cloud's. */
const closed: readonly string[] = [
  '127.0.0.1:8000',
  '192.0.2.2:8000',
  '[2001:db8::2]:8000',
  '169.254.169.254',
  '169.254.1.1',
  '100.100.100.200',
  '[fd00:ec2::254]',
];
/** As a guest may do to itself, so that what bears such addresses goes to passt. */
const openUp =
  'sysctl -q -w net.ipv4.conf.all.route_localnet=1; ip address flush dev lo; ip route flush table local dev lo; ip route add 127.0.0.0/8 via 10.0.2.2 dev eth0; ip address add fd71:7761:7264::15/64 dev eth0; ip -6 route add default dev eth0; sleep 3';
const userNic = (port: number): string =>
  `nics: [{ id: net, kind: user, forward: ["127.0.0.1:${port} -> 80"], dns: [192.0.2.1] }]`;
const got = (run: typeof inGuest, machine: string, target: string): Promise<string> =>
  run(machine, `timeout 5 wget -q -O - "http://${target}/" 2>&1; echo "status $?"`);

test('a user network: passt under its profile, the world is open and the host is closed', async () => {
  await host.demand('qward kill cage');
  await host.demand(guestScript('out', 'qward.net', userNic(2280)));
  await host.demand('qward start out', limitMs);
  await host.demand(untilConsole('out', 'network 10.0.2.15/24 via 10.0.2.2'), limitMs);
  assert.match(await host.demand(page('', 'http://127.0.0.1:2280/')), /^hello from/);
  await inGuest('out', openUp);
  assert.match(await got(inGuest, 'out', '192.0.2.1'), /^a page of the world/);
  for (const target of closed)
    assert.match(await got(inGuest, 'out', target), /^(?![^]*a page)[^]*status [1-9]/, target);
  const { ok, helpers = [] } = await auditOf('out');
  assert.ok(ok);
  const passt = walls(helpers[0]?.rows);
  assert.match(passt['lsm']?.found ?? '', /qward-passt \(enforce\)/);
  assert.match(passt['network-namespace']?.found ?? '', /^the host's, the host closed/);
  assert.equal(await denials(), '');
});

test('without its filter each of these places is reached', async () => {
  const table = (
    await host.demand(`nft list tables inet | sed 's/table inet //' | grep -vE '^qw-' | grep -v filter`)
  ).trim();
  await host.demand(`nft insert rule inet ${table} machines accept`);
  for (const target of closed)
    assert.match(await got(inGuest, 'out', target), /a page of the (?:host|world)/, target);
  assert.notEqual((await host.run('qward audit out')).status, 0);
  await host.demand('qward kill out');
});

const asAnn = (script: string): Promise<string> => host.demand(asUser('ann', script), limitMs);

test('a machine of a user’s session has a user network, whatever profile of passt the distribution has', async () => {
  assert.match(
    await host.demand('cat /sys/kernel/security/apparmor/profiles'),
    /^passt \(enforce\)$/m,
    'Debian’s package brings one',
  );
  await asAnn(`cat > out.yaml <<END
name: out
accel: kvm
memory: 128MiB
${userNic(2380)}
boot: {kernel: /home/ann/vmlinuz, initrd: /home/ann/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1 qward.net}
END
qward define out.yaml
qward start out
${untilConsole('out', 'network 10.0.2.15/24 via 10.0.2.2')}`);
  const uid = (await host.demand('id -u ann')).trim();
  const inSession = commandsInGuests(host, `/run/user/${uid}/qward/api.sock`);
  assert.match(await got(inSession, 'out', '192.0.2.1'), /^a page of the world/);
  assert.match(await asAnn(page('', 'http://127.0.0.1:2380/')), /^hello from/);
  const audit = JSON.parse(await asAnn('qward audit out --json')) as Audit;
  assert.ok(audit.ok);
  assert.ok(audit.helpers?.[0]?.ok, JSON.stringify(audit.helpers));
  assert.equal(await denials(), '');
  assert.match(await asAnn('qward kill out && qward drill out || true'), /all \d+ attempts blocked/);
});

test('a user whom the policy lets define has a machine in a network that is given to them, and in no other', async () => {
  await host.demand(`sed -i 's|"define": {}|"define": {"users": ["ann"]}|' /etc/qward/policy.json
qward policy check`);
  const define = (network: string): string => `cat > own.yaml <<END
name: own
accel: kvm
memory: 128MiB
${nic(network)}
boot: {kernel: /home/ann/vmlinuz, initrd: /home/ann/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1 qward.net}
END
qward --system define --replace own.yaml`;
  await asAnn(define('lab'));
  await asAnn('qward --system start own');
  await asAnn(untilConsole('own', 'network 10.78.0.4/24 via , servers 10.78.0.2', 'qward --system'));
  await asAnn('qward --system audit own && qward --system kill own');
  await host.demand('qward network create staff --subnet 10.79.0.0/24 --isolated --user root');
  const { status, output } = await host.run(
    asUser('ann', `${define('staff')} && qward --system start own`),
    limitMs,
  );
  assert.notEqual(status, 0, output);
  assert.match(output, /staff/);
});

test('the drill of a machine in a network finds every way closed, and after the last machine nothing is left', async () => {
  for (const machine of ['web', 'db', 'evil']) await host.demand(`qward kill ${machine}`);
  assert.match(await host.demand('qward drill web', limitMs), /all \d+ attempts blocked/);
  await host.demand(
    'for i in $(seq 60); do ip -o link | grep -q qw- || break; sleep 0.5; done; cat /proc/sys/net/ipv4/ip_forward',
  );
  assert.equal(await remains(), 'table inet filter');
  assert.equal((await host.demand('systemctl --failed --no-legend --plain')).trim(), '');
  assert.equal(await denials(), '');
});

test('after a restart of the host a machine that starts with it has its network and its address', async () => {
  await host.demand('echo kvm_amd >/etc/modules-load.d/lab.conf; qward autostart on web', limitMs);
  await host.reboot();
  await host.demand(
    `for i in $(seq 120); do qward list | grep -q '^web *running' && break; sleep 1; done
${untilConsole('web', 'network 10.77.0.3/24 via 10.77.0.1')}`,
    limitMs,
  );
  assert.ok((await auditOf('web')).ok);
});
