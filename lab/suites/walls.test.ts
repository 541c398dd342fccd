/**
 * The walls that need a real host: AppArmor's, beside crun and cgroup v2, tried by the drill, and seen on the live process of
 * each kind of jail.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineScript } from '../payload.ts';
import { installedHost } from '../suite-host.ts';

const host = await installedHost();
const profiles = '/sys/kernel/security/apparmor/profiles';
const denials = async (profile: string): Promise<string> =>
  (await host.demand(`dmesg | grep 'apparmor="DENIED"' | grep 'profile="${profile}"' || true`)).trim();

/** Label and cgroup of each process of a machine's uid that fits, looked for until the command that makes it has ended. */
const labelsDuring = (command: string, process: string): string => `(${command}) >/run/during 2>&1 &
work=$!
while kill -0 $work 2>/dev/null; do
  for pid in $(pgrep -f '^[^ ]*${process}'); do
    label=$(cat "/proc/$pid/attr/current")
    uid=$(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")
    [ "$uid" -ge 1879048192 ] && [ "$label" ] && echo "label $label, cgroup $(cat "/proc/$pid/cgroup")"
  done 2>/dev/null
done | sort -u
wait $work; status=$?
cat /run/during
exit $status`;

test('the drill of a machine finds every way closed, and none that it cannot tell of', async () => {
  await host.demand(defineScript('web', 'kvm'));
  const output = await host.demand('qward drill web --json', 300_000);
  const rows = Object.values(Object(JSON.parse(output)))
    .flat()
    .filter((row) => Reflect.get(Object(row), 'probe') !== undefined);
  assert.ok(rows.length >= 78, output);
  assert.deepEqual(
    rows.filter((row) => Reflect.get(Object(row), 'verdict') !== 'blocked'),
    [],
  );
});

test('an action on a disk runs under its profile', async () => {
  await host.demand(`cd /var/lib/qward/images
head -c 192M /dev/urandom >source.raw`);
  const seen = await host.demand(
    labelsDuring(
      'qward disk convert /var/lib/qward/images/source.raw /var/lib/qward/images/made.qcow2',
      'qemu-img ',
    ),
    300_000,
  );
  assert.match(seen, /^label qward-qemu-img \(enforce\), cgroup 0::\/qward\.slice\//m);
  assert.doesNotMatch(seen, /^label (?!qward-qemu-img)/m);
  await host.demand(
    'qemu-img compare -q /var/lib/qward/images/source.raw /var/lib/qward/images/made.qcow2',
    240_000,
  );
  assert.equal(await denials('qward-qemu-img'), '');
});

test('a hook runs under its profile, and so does what it calls', async () => {
  await host.demand(`mkdir -p /etc/qward/hooks
cat >/etc/qward/hooks/slow <<'END'
#!/bin/sh
echo "label of a child: $(cat /proc/self/attr/current)"
sleep 4
END
chmod 0755 /etc/qward/hooks/slow
sed -i 's|"hooks": \\[\\]|"hooks": [{ "name": "slow", "path": "/etc/qward/hooks/slow" }]|' /etc/qward/policy.json
qward policy check
qward set web hooks.start=slow`);
  const seen = await host.demand(labelsDuring('qward start web', 'sleep 4'), 240_000);
  assert.match(seen, /^label qward-hook \(enforce\), cgroup 0::\/qward\.slice\//m);
  assert.match(seen, /web: started/);
  assert.match(await host.demand('qward logs web'), /label of a child: qward-hook \(enforce\)/);
  assert.match(await host.demand('qward audit web'), /label\W+qward-qemu \(enforce\)/);
  await host.demand('qward kill web');
  assert.equal(await denials('qward-hook'), '');
});

test('a profile refuses what the jail alone would allow', async () => {
  // In the hook's jail /proc shows it its own settings, which a process without the profile may write.
  await host.demand(`cat >/etc/qward/hooks/slow <<'END'
#!/bin/sh
if echo 500 >/proc/self/oom_score_adj; then echo written; else echo refused; fi
END`);
  await host.demand('qward start web && qward kill web', 240_000);
  assert.match(await host.demand('qward logs web'), /Permission denied[\s\S]*refused/);
  assert.match(await denials('qward-hook'), /profile="qward-hook" name="\/proc\/\S*oom_score_adj"/);
});

test('where the list of profiles is hidden from the broker nothing starts, and what runs goes on', async () => {
  await host.demand('qward start web', 240_000);
  await host.demand(`cat >/etc/apparmor.d/lab-broker <<'END'
abi <abi/3.0>,
profile lab-broker flags=(attach_disconnected) {
  capability, network, mount, umount, pivot_root, ptrace, signal, unix, dbus,
  change_profile -> **,
  / rwlk,
  /** rwlkmix,
  deny ${profiles} r,
}
END
apparmor_parser --replace /etc/apparmor.d/lab-broker
mkdir -p /run/systemd/system/qward-broker.service.d
printf '[Service]\\nAppArmorProfile=lab-broker\\n' >/run/systemd/system/qward-broker.service.d/lab.conf
systemctl daemon-reload && systemctl restart qward-broker.service`);
  await host.demand(defineScript('late', 'kvm'));
  const { status, output } = await host.run('qward start late', 120_000);
  assert.notEqual(status, 0);
  assert.match(output, /AppArmor's list of profiles cannot be read/);
  assert.match(output, /aa-status/);
  assert.match(await host.demand('qward list'), /late +failed[^\n]*\nweb +running/);
  assert.match(
    (await host.run('qward doctor', 120_000)).output,
    /AppArmor +missing|AppArmor's list of profiles/,
  );
  assert.match(await host.demand('qward stop web', 120_000), /web: /);
  await host.demand(`rm /run/systemd/system/qward-broker.service.d/lab.conf
systemctl daemon-reload && systemctl restart qward-broker.service`);
  assert.match(await host.demand('qward start late', 120_000), /started/);
});
