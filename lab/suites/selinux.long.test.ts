/**
 * A host with SELinux in place of AppArmor: a label that a machine names is the label of its QEMU, on every thread, where the
 * policy gives it; the audit sees one that is another.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { downloadPackage } from '../../test/support/debian-package.ts';
import { defineScript } from '../payload.ts';
import { installedHost } from '../suite-host.ts';

const packages = ['selinux-utils', 'policycoreutils', 'selinux-policy-default'];
const label = 'system_u:system_r:svirt_t:s0:c7,c42';

const host = await installedHost({
  parameters: 'security=selinux selinux=1 enforcing=0',
  bring: async (directory) => {
    for (const name of packages) {
      const made = join(directory, `download-${name}`);
      mkdirSync(made);
      renameSync(join(made, downloadPackage(name, made)), join(directory, `${name}.deb`));
    }
    return Promise.resolve();
  },
});

const relax = (lines: string): string =>
  `sed -i -e 's|"relaxations": .*|"relaxations": [${lines}],|' /etc/qward/policy.json && qward policy check`;
const given = relax(`{ "relax": "selinux", "to": "${label}", "machines": ["web"] }`);
const set = (value: string): string => `qward set web 'confinement.selinux=${value}'`;
const labels = (name: string): string =>
  `pid=$(qward status ${name} --json | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' | head -n 1)
cat /proc/$pid/task/*/attr/current | tr '\\0' '\\n' | sort -u`;

test('the host boots with SELinux', async () => {
  // The policy's own script asks for a label of every file; none matters here, since nothing is enforced but the label itself.
  await host.demand(
    `cd /lab && DEBIAN_FRONTEND=noninteractive dpkg -i ${packages.map((name) => `${name}.deb`).join(' ')}
cd /usr/share/selinux/default && semodule -n -i virt.pp.bz2
sed -i 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config`,
    900_000,
  );
  await host.reboot();
  await host.demand('grep -qx 0 /sys/fs/selinux/enforce && ls /etc/selinux/default/policy/');
  await host.demand('modprobe kvm_amd; systemctl set-property qward.slice AllowedCPUs=1');
  await host.demand(defineScript('web', 'kvm'));
});

test('without a label in the definition a machine has that of the service, and the audit says that none is planned', async () => {
  await host.demand('qward start web', 180_000);
  const seen = (await host.demand(labels('web'))).trim();
  assert.doesNotMatch(seen, /svirt_t/);
  assert.match(await host.demand('qward audit web'), /label/);
  await host.demand('qward kill web');
});

test('a label without a line of the policy is refused, and so is a word that is none', async () => {
  await host.demand(set(label));
  const refused = await host.run('qward start web');
  assert.notEqual(refused.status, 0);
  assert.match(
    refused.output,
    /relaxation "selinux system_u:system_r:svirt_t:s0:c7,c42" is not one that the policy gives/,
  );
});

test('with its line it is the label of every thread of QEMU, and the audit expects exactly it', async () => {
  await host.demand(given);
  await host.demand('qward start web', 180_000);
  assert.equal((await host.demand(labels('web'))).trim(), label);
  const audit = await host.demand('qward audit web');
  assert.match(audit, /svirt_t:s0:c7,c42/);
  assert.match(await host.demand('qward list'), /web/);
  assert.match(await host.demand('qward explain web'), /svirt_t:s0:c7,c42/);
  await host.demand('qward kill web');
});

test('a label that the loaded policy does not know ends the start, and nothing is left of it', async () => {
  const wrong = 'system_u:system_r:no_such_type_t:s0';
  await host.demand(relax(`{ "relax": "selinux", "to": "${wrong}", "machines": ["web"] }`));
  await host.demand(set(wrong));
  const refused = await host.run('qward start web', 180_000);
  assert.notEqual(refused.status, 0, refused.output);
  assert.match(await host.demand('qward status web --json || true'), /"state": *"(stopped|failed)"/);
});
