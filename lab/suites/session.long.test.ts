/** Sessions on a host with systemd: ordinary users with KVM and limits, two that are strangers to each other, start without a login. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asUser, suiteHost } from '../suite-host.ts';

const prepare = `set -e
dpkg -i /lab/qward.deb
modprobe kvm_amd
# The translator's SVM brings the host's kernel down where two CPUs run guests at the same time.
systemctl set-property user.slice AllowedCPUs=1
for name in ann ben; do
  useradd --create-home --shell /bin/bash $name
  chmod 0700 /home/$name
  install -o $name -g $name -m 0600 /lab/vmlinuz /lab/initrd.cpio /home/$name/
  loginctl enable-linger $name
done
usermod --append --groups kvm ann
systemctl restart user@$(id -u ann).service`;

const host = await suiteHost({ prepare });

const demandAs = (user: string, script: string, limitMs = 180_000): Promise<string> =>
  host.demand(asUser(user, script), limitMs);

const definition = (user: string, name: string, accel: 'kvm' | 'tcg'): string => `
qward disk create ~/${name}.qcow2 64MiB > /dev/null
cat > ${name}.yaml <<END
name: ${name}
accel: ${accel}
memory: 128MiB
disks: [{id: root, path: /home/${user}/${name}.qcow2, format: qcow2}]
boot: {kernel: /home/${user}/vmlinuz, initrd: /home/${user}/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1}
END
qward define ${name}.yaml`;

test('without a word from the caller users mean their session, and root the host', async () => {
  assert.match(await demandAs('ann', 'qward info'), /session instance/);
  assert.match(await host.demand('qward info'), /system instance/);
  assert.match(await demandAs('ann', 'systemctl --user is-active qward-session.socket'), /active/);
});

test('a member of kvm runs a machine under KVM, in a scope with its limits, with every wall that a user can have', async () => {
  await demandAs('ann', definition('ann', 'web', 'kvm'));
  assert.match(await demandAs('ann', 'qward doctor || true'), /KVM\s+a test guest ran/);
  assert.match(await demandAs('ann', 'qward start web'), /started/);
  const audit = JSON.parse(await demandAs('ann', 'qward audit web --json')) as {
    readonly ok: boolean;
    readonly pid: number;
    readonly rows: readonly { readonly wall: string; readonly verdict: string; readonly found: string }[];
  };
  assert.equal(audit.ok, true);
  const row = (wall: string) => audit.rows.find((one) => one.wall === wall);
  assert.equal(row('groups')?.verdict, 'ok', JSON.stringify(audit.rows));
  assert.match(row('groups')?.found ?? '', /\/dev\/kvm/);
  assert.equal(row('cgroup')?.verdict, 'ok', JSON.stringify(audit.rows));
  const uid = (await host.demand('id -u ann')).trim();
  const cgroup = await host.demand(`cat /proc/${audit.pid}/cgroup`);
  assert.equal(cgroup, `0::/user.slice/user-${uid}.slice/user@${uid}.service/qward.slice/qward-web.scope\n`);
  const limits = await host.demand(`cd /sys/fs/cgroup${cgroup.trim().slice(3)} && cat memory.max pids.max`);
  assert.match(limits, /^\d+\n\d+\n$/);
  const status = await host.demand(`cat /proc/${audit.pid}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`${set}:\\s0+\\n`));
  await demandAs(
    'ann',
    'for i in $(seq 60); do qward console --log web | grep -q "qward-demo: ready" && exit 0; sleep 1; done; exit 1',
  );
});

test('a user outside kvm has TCG, and doctor says why and what to do', async () => {
  const doctor = await demandAs('ben', 'qward doctor || true');
  assert.match(doctor, /KVM[^\n]*\/dev\/kvm/);
  assert.match(doctor, /adduser ben kvm/);
});

test('neither user reaches the other’s session', async () => {
  const uid = (await host.demand('id -u ann')).trim();
  const pid = JSON.parse(await demandAs('ann', 'qward audit web --json')) as { readonly pid: number };
  const attempts = [
    `ls /run/user/${uid}/qward`,
    `qward --socket /run/user/${uid}/qward/api.sock list`,
    'ls /home/ann/.local/state/qward',
    `kill -0 ${pid.pid}`,
    `ls /proc/${pid.pid}/fd`,
    `cat /proc/${pid.pid}/environ`,
    `ls /proc/${pid.pid}/root/`,
  ];
  for (const attempt of attempts)
    assert.equal(
      (await demandAs('ben', `if ${attempt} > /dev/null 2>&1; then echo through; fi`)).trim(),
      '',
      attempt,
    );
  assert.equal((await demandAs('ben', 'qward list -q')).trim(), '');
});

test('a killed manager and broker leave the machine, which is taken over', async () => {
  const before = JSON.parse(await demandAs('ann', 'qward audit web --json')) as { readonly pid: number };
  await host.demand('pkill -KILL -u ann -x "qward-.*" || true');
  const after = JSON.parse(
    await demandAs(
      'ann',
      'for i in $(seq 30); do qward audit web --json 2>/dev/null && exit 0; sleep 1; done; exit 1',
    ),
  ) as { readonly pid: number; readonly ok: boolean };
  assert.deepEqual([after.pid, after.ok], [before.pid, true]);
  assert.match(await demandAs('ann', 'qward stop web'), /shut down/);
  assert.match(await demandAs('ann', 'qward drill web || true'), /all \d+ attempts blocked/);
});

test('what a user lets start does so with the host, without a login', async () => {
  // No module of KVM is loaded when it starts.
  await demandAs('ann', 'qward set web accel=tcg && qward autostart on web');
  await host.reboot();
  const list =
    'for i in $(seq 60); do su - ann -c "XDG_RUNTIME_DIR=/run/user/$(id -u ann) qward list" | grep -q "web.*running" && exit 0; sleep 2; done; su - ann -c "XDG_RUNTIME_DIR=/run/user/$(id -u ann) qward list"; exit 1';
  await host.demand(list, 240_000);
});

test('nothing of qward is root at rest, with a machine that runs', async () => {
  const count = 'ps -eo user=,args= | awk \'$1 == "root" && $2 ~ /qward/\' | grep -v lab | wc -l';
  // The host's own broker ends some time after it was asked for something.
  const wait = `for i in $(seq 70); do [ "$(${count})" = 0 ] && break; sleep 1; done; ${count}`;
  assert.equal((await host.demand(wait)).trim(), '0', await host.demand('ps -eo user,pid,args'));
});
