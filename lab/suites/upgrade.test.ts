/**
 * The package with names of the administrator's own, under AppArmor: asked for at installation, kept by an upgrade with machines
 * running, those of sessions too, changed by dpkg-reconfigure, removed with machines running, installed again, purged.
 */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makePackage } from '../../scripts/package.ts';
import { defineScript, preseed } from '../payload.ts';
import { asUser, suiteHost } from '../suite-host.ts';

const host = await suiteHost({
  bring: async (directory) => {
    const made = await makePackage(join(directory, 'made'), { plain: true, revision: 2 });
    copyFileSync(made, join(directory, 'newer.deb'));
  },
});

const pidOf = "qward status web --json | tr -d ' \\n' | sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p'";
const pidNow = async (): Promise<string> => (await host.demand(pidOf)).trim();
const failedUnits = async (): Promise<string> =>
  (await host.demand('systemctl --failed --no-legend --plain')).trim();

test('a range that meets another user is refused with the reason, and a better answer completes the installation', async () => {
  const answers = { user: 'string vmd', operators: 'string kvm', 'uid-range': 'string 100000-165535' };
  const { status, output } = await host.run(
    `echo 'anna:100000:65536' >> /etc/subuid
${preseed(answers)}
DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /lab/qward.deb`,
    300_000,
  );
  assert.notEqual(status, 0);
  assert.match(output, /not configured: 100000-165535: subordinate ids of anna \(100000\) lies in it/);
  assert.match(await host.demand('getent passwd vmd || echo none'), /^none/);
  await host.demand(
    `${preseed({ 'uid-range': 'string 1900000000-1900000999' })}
DEBIAN_FRONTEND=noninteractive dpkg --configure qward`,
    300_000,
  );
});

test('accounts, policy, units and directories have the chosen names', async () => {
  assert.match(await host.demand('id -un vmd; id -u qward-machines'), /^vmd\n1900000000\n$/);
  assert.match(await host.demand('getent passwd qward; getent group qward-operators; echo'), /^\n$/);
  for (const file of ['subuid', 'subgid'])
    assert.match(await host.demand(`grep qward /etc/${file}`), /^qward-machines:1900000000:1000\n$/);
  const policy = await host.demand('cat /etc/qward/policy.json');
  assert.match(policy, /"operators": "kvm"/);
  assert.match(policy, /"uidRange": \{ "base": 1900000000, "count": 1000 \}/);
  assert.equal(
    (await host.demand('ps -o user= -p $(systemctl show -P MainPID qward-manager)')).trim(),
    'vmd',
  );
  assert.equal((await host.demand('stat -c %G /run/qward/broker.sock')).trim(), 'vmd');
  assert.equal(await failedUnits(), '');
  assert.match(await host.demand('qward doctor', 120_000), /AppArmor\s+qward-qemu \(enforce\)\n/);
});

test('QEMU runs under its AppArmor profile, and the audit expects it', async () => {
  await host.demand('modprobe kvm_amd; cp /lab/vmlinuz /lab/initrd.cpio /var/lib/qward/images/');
  await host.demand(defineScript('web', 'kvm'), 120_000);
  await host.demand('qward start web', 120_000);
  assert.equal((await host.demand(`cat /proc/$(${pidOf})/attr/current`)).trim(), 'qward-qemu (enforce)');
  assert.match(
    await host.demand('aa-status 2>/dev/null || cat /sys/kernel/security/apparmor/profiles'),
    /qward-qemu/,
  );
  const audit = await host.demand('qward audit web');
  assert.match(audit, /qward-qemu \(enforce\)/);
  await host.demand(
    'for i in $(seq 60); do qward console --log web | grep -q "qward-demo: ready" && exit 0; sleep 1; done; qward console --log web | tail -n 20; exit 1',
    120_000,
  );
  // Nothing that QEMU or the guest needed was denied.
  assert.equal((await host.demand('dmesg | grep \'apparmor="DENIED"\' | grep qward || true')).trim(), '');
});

/** Who has a session, and with what words a script is run in it: ann has a systemd of her own, ben nothing of the kind. */
const sessions = {
  ann: (script: string) => asUser('ann', script),
  ben: (script: string) =>
    `runuser -u ben -- env -i HOME=/home/ben PATH=/usr/bin:/bin sh -e <<'SCRIPT'\ncd\n${script}\nSCRIPT`,
};
type User = keyof typeof sessions;
const users: readonly User[] = ['ann', 'ben'];

const inSession = (user: User, script: string): Promise<string> =>
  host.demand(sessions[user](script), 180_000);
const managerOf = (user: User): Promise<string> => host.demand(`pgrep -u ${user} -x qward-manager`);
const pidInSession = async (user: User): Promise<string> =>
  (await inSession(user, pidOf.replace('status web', 'status desk'))).trim();

/** Paused, they leave the host's processors to what is tested. */
test('users have machines of their own in sessions, with a systemd of theirs and without', async () => {
  for (const user of users)
    await host.demand(`useradd --create-home --shell /bin/bash ${user}
install -o ${user} -g ${user} -m 0600 /lab/vmlinuz /lab/initrd.cpio /home/${user}/`);
  await host.demand('loginctl enable-linger ann && systemctl start user@$(id -u ann).service');
  for (const user of users) {
    const boot = `{kernel: /home/${user}/vmlinuz, initrd: /home/${user}/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1}`;
    await inSession(
      user,
      `printf '%s\\n' 'name: desk' 'accel: tcg' 'memory: 128MiB' 'stop: {timeout: 5s}' 'boot: ${boot}' > desk.yaml
# On this host, in a program that translates it, a first start takes longer than the command waits.
for i in $(seq 6); do if qward info >&2; then break; fi; done
qward define desk.yaml && qward start desk && qward pause desk`,
    );
    assert.match(await pidInSession(user), /^\d+$/);
  }
  const cgroupOfBen = await host.demand(`cat /proc/${await pidInSession('ben')}/cgroup`);
  assert.doesNotMatch(cgroupOfBen, /qward-desk\.scope/);
});

test('an upgrade keeps names, policy and the running machine, and says that the manager was restarted', async () => {
  const before = await pidNow();
  const beforeOf = await Promise.all(users.map(pidInSession));
  const managersOf = await Promise.all(users.map(managerOf));
  const manager = await host.demand('systemctl show -P MainPID qward-manager');
  await host.demand("sed -i '1i // the administrator was here' /etc/qward/policy.json");
  const output = await host.demand(
    'DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /lab/newer.deb',
    600_000,
  );
  assert.match(
    output,
    /the manager was restarted \(before: 0\.1\.0-1\), and in the sessions of (ann ben|ben ann); machines that run on untouched: web (ann\/desk ben\/desk|ben\/desk ann\/desk) $/m,
  );
  for (const [index, user] of users.entries()) {
    assert.equal(await pidInSession(user), beforeOf[index]);
    assert.notEqual(await managerOf(user), managersOf[index]);
    assert.doesNotMatch(
      await host.demand(`readlink /proc/$(pgrep -u ${user} -x qward-manager)/exe`),
      /deleted/,
    );
    await inSession(user, 'qward audit desk');
  }
  // Not where dpkg was started.
  assert.match(
    await host.demand('cat /proc/$(pgrep -u ben -x qward-manager)/cgroup'),
    /\/user\.slice\/user-\d+\.slice\/run-\w+\.service$/m,
  );
  assert.equal(await pidNow(), before);
  assert.notEqual(await host.demand('systemctl show -P MainPID qward-manager'), manager);
  await host.demand('qward audit web');
  assert.match(await host.demand('head -1 /etc/qward/policy.json'), /the administrator was here/);
  assert.equal(
    (await host.demand('ps -o user= -p $(systemctl show -P MainPID qward-manager)')).trim(),
    'vmd',
  );
  assert.equal(await failedUnits(), '');
});

/** As an administrator at a terminal answers: user, operators, range. */
const reconfigure = (answers: string): string =>
  `printf '${answers}' | script -qec 'dpkg-reconfigure -fteletype -plow qward' /dev/null`;

test('dpkg-reconfigure changes the operators, and while there are machines neither account nor range', async () => {
  await host.demand(reconfigure('\\nvm-people\\n\\n'), 120_000);
  const policy = await host.demand('cat /etc/qward/policy.json');
  assert.match(policy, /"operators": "vm-people"/);
  assert.match(policy, /^\/\/ the administrator was here\n/);
  assert.match(await host.demand('getent group vm-people'), /^vm-people:/);
  for (const answers of ['other\\n\\n\\n', '\\n\\n1900000000-1900000099\\n']) {
    const { output } = await host.run(reconfigure(answers), 120_000);
    assert.match(output, /cannot change while there are machines: web/);
  }
  assert.match(await host.demand('cat /etc/qward/policy.json'), /"count": 1000/);
  assert.match(await host.demand('qward list'), /web.*running/);
});

test('a removal with machines running asks, and stops them only with leave', async (context) => {
  const { status, output } = await host.run(
    `${preseed({ 'stop-machines': 'boolean false' })}
DEBIAN_FRONTEND=noninteractive dpkg --remove qward`,
    120_000,
  );
  assert.notEqual(status, 0);
  assert.match(output, /not removed: machines run: web (ann\/desk ben\/desk|ben\/desk ann\/desk)/);
  assert.match(await host.demand('qward list'), /web.*running/);
  for (const user of users) assert.match(await inSession(user, 'qward list'), /desk.*paused/);
  const removed = await host.demand(
    `${preseed({ 'stop-machines': 'boolean true' })}
time DEBIAN_FRONTEND=noninteractive dpkg --remove qward`,
    300_000,
  );
  context.diagnostic(removed);
  assert.match(removed, /shutting machines down: web (ann|ben)\/desk/);
  assert.equal((await host.demand('pgrep -u ann,ben qward || true')).trim(), '');
  // Nobody listens, whatever names of sockets are left.
  assert.equal((await host.demand('awk \'$4 == "00010000" && /qward/\' /proc/net/unix')).trim(), '');
  assert.equal(
    (
      await host.run(
        'pgrep qemu-system; findmnt -rn | grep qward; ls -d /run/qward /sys/fs/cgroup/qward.slice/*.scope',
      )
    ).output
      .replaceAll(/^ls: .*\n/gm, '')
      .trim(),
    '',
  );
  assert.doesNotMatch(await host.demand('cat /sys/kernel/security/apparmor/profiles'), /qward/);
});

test('installed again it has its definitions and names, and purged it leaves the images', async () => {
  await host.demand('DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /lab/newer.deb', 300_000);
  assert.match(await host.demand('qward list'), /web.*stopped/);
  for (const user of users) assert.match(await inSession(user, 'qward list'), /desk.*stopped/);
  assert.match(await host.demand('cat /etc/qward/policy.json'), /"operators": "vm-people"/);
  await host.demand('DEBIAN_FRONTEND=noninteractive dpkg --purge qward', 300_000);
  const left = `getent passwd vmd qward qward-machines; getent group vmd qward-admin vm-people qward-machines
grep -h qward /etc/subuid /etc/subgid
ls -Ad /run/qward /etc/qward /usr/lib/qward /var/cache/qward /etc/default/qward /etc/apparmor.d/qward /etc/systemd/system/*qward* 2>/dev/null
ls /etc/systemd/system/*/*qward* /etc/tmpfiles.d/qward.conf /etc/sysusers.d/qward.conf /var/lib/systemd/deb-systemd-helper-enabled/*qward* 2>/dev/null
debconf-show qward; true`;
  assert.equal((await host.demand(left)).trim(), '');
  assert.match(await host.demand('getent group kvm'), /^kvm:/);
  assert.equal((await host.demand('ls -A /var/lib/qward')).trim(), 'images');
  assert.equal(await failedUnits(), '');
});
