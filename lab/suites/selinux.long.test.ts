/**
 * SELinux on a real host: Debian's own policy, loaded by systemd, permissive. The label that a definition names is that of each of QEMU's
 * threads, and one that the policy does not know is refused. What an enforced policy must allow stands in docs/relaxations.md.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { drillChanges, drilled } from '../drill.ts';
import { installedHost } from '../suite-host.ts';

const packages = [
  'selinux-policy-default',
  'policycoreutils',
  'selinux-utils',
  'libsemanage2',
  'libsemanage-common',
];
const [label, unknown] = ['system_u:system_r:svirt_t:s0:c1,c2', 'system_u:system_r:no_such_t:s0'];

/**
 * /lab/selinux.tar: the tools, and the policy of Debian's package as its postinst builds it. Built here, in a mount namespace where the
 * packages lie above the system: the host, which is translated, would need a quarter of an hour.
 */
const buildScript = `cd "$1"
mkdir debs tree over
(cd debs && apt-get -q download ${packages.join(' ')})
for deb in debs/*.deb; do dpkg -x $deb tree; done
cp -a tree/sbin tree/lib tree/usr/ && rm -r debs tree/sbin tree/lib
mount -t tmpfs tmpfs over
for top in usr etc var; do
  mkdir over/$top over/$top.work
  mount -t overlay overlay -o lowerdir=$1/tree/$top:/$top,upperdir=$1/over/$top,workdir=$1/over/$top.work /$top
done
printf 'SELINUX=permissive\\nSELINUXTYPE=default\\n' > /etc/selinux/config
cd /usr/share/selinux/default
semodule -X 100 -n -s default $(sed 's|.*|-i&.pp.bz2|' .modules)
cd "$1"
tar -cf selinux.tar -C "$1/tree" usr -C / etc/selinux var/lib/selinux
umount --lazy over
rm -r tree over`;

const host = await installedHost({
  parameters: 'security=selinux selinux=1 enforcing=0',
  bring: (directory) => {
    execFileSync(
      'unshare',
      ['--mount', '--propagation', 'private', 'bash', '-euc', buildScript, 'build', directory],
      { stdio: 'pipe' },
    );
    return Promise.resolve();
  },
});
const labelLimitMs = 600_000;

const pidOf = (name: string): string =>
  `$(qward status ${name} --json | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' | head -n 1)`;
const labelsOf = async (name: string): Promise<readonly string[]> => {
  const all = await host.demand(`cat /proc/${pidOf(name)}/task/*/attr/current | tr '\\0' '\\n'`);
  return [...new Set(all.split('\n').filter(Boolean))];
};

test('the host comes up with the policy loaded, and qward with it', async () => {
  // Files get labels of the policy only once it is loaded, and what is started from them at the next boot.
  await host.demand(
    `tar -C / -xf /lab/selinux.tar --no-same-owner && ldconfig
load_policy -i
setfiles -F /etc/selinux/default/contexts/files/file_contexts \\
  /usr/lib/systemd /usr/lib/qward /usr/bin /usr/sbin /usr/local /etc /run /var/lib`,
    labelLimitMs,
  );
  await host.reboot();
  assert.match(await host.demand('journalctl -b --no-pager'), /Successfully loaded SELinux policy/);
  assert.match(await host.demand('cat /proc/1/attr/current'), /^system_u:system_r:init_t:s0/);
  assert.equal((await host.demand('systemctl is-active qward-manager')).trim(), 'active');
  assert.match(await host.demand('ps -eo label,comm | grep qward-'), /initrc_t:s0 +qward-manager/);
});

test('a label is that of each thread, and the audit expects it', async () => {
  const lines = [label, unknown].map((to) => ({
    relax: 'selinux',
    to,
    machines: [to === label ? 'labelled' : 'unknown'],
  }));
  await host.demand(
    `sed -i 's|"relaxations": \\[\\]|"relaxations": ${JSON.stringify(lines)}|' /etc/qward/policy.json
qward policy check
define() { printf 'name: %s\\naccel: tcg\\nmemory: 64MiB\\n%s\\n' "$1" "$2" | qward define -; }
define labelled 'confinement: {selinux: "${label}"}'
define unknown 'confinement: {selinux: "${unknown}"}'
define plain ''
qward start plain
qward start labelled`,
    300_000,
  );
  assert.deepEqual(await labelsOf('labelled'), [label]);
  assert.deepEqual(await labelsOf('plain'), ['system_u:system_r:initrc_t:s0']);
  assert.match(await host.demand('qward audit labelled'), new RegExp(`lsm +ok +${label} +label ${label}`));
  await host.demand('qward kill labelled && qward kill plain');
  assert.deepEqual(drillChanges(await drilled(host, 'plain'), await drilled(host, 'labelled')), []);
});

test('a label that the policy does not know is refused before anything begins', async () => {
  const refused = await host.run('qward start unknown');
  assert.notEqual(refused.status, 0);
  assert.match(
    refused.output,
    /asks for the SELinux label \S+:no_such_t:s0, which no policy that this host has loaded knows/,
  );
});
