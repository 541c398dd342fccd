/** What is proved on a host whose init is not systemd: one start script, from the installation of the package to its purge. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LabContainer } from './container.ts';
import { countersOf, defineScript, makePayload, preseed } from './payload.ts';
import type { OtherInit } from './recipe.ts';

const install = 'DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /lab/qward.deb';
const seen = (name: string, words: string): string =>
  `for i in $(seq 200); do grep -qs '${words}' /var/lib/qward/manager/console/${name}/* && exit 0; sleep 0.5; done; exit 1`;
const pidOf = (name: string): string =>
  `qward status ${name} --json | tr -d ' \\n' | sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p'`;
/** In a session of hers, which has no runtime directory. */
const asAnn = (script: string): string =>
  `runuser -u ann -- env -i HOME=/home/ann PATH=/usr/bin:/bin sh -e <<'SCRIPT'\ncd\n${script}\nSCRIPT`;
/** What ps tells of the daemons: `USER NAME`. */
const daemons = "ps -eo user:20=,args= | awk '$2 ~ /^qward-(broker|manager)$/ { print $1, $2 }' | sort -u";

interface StartScript {
  readonly init: OtherInit;
  /** Of the first process of the host. */
  readonly first: RegExp;
  /** Calls the start script: start, stop, restart, status. */
  readonly service: (action: string) => string;
  /** Puts the init's own start script in place of the one that the package brought. */
  readonly ownScript?: string;
}

export async function proveUnder({ init, first, service, ownScript }: StartScript): Promise<void> {
  const payload = await makePayload();
  const host = await LabContainer.create(init, {
    payload: payload.directory,
    say: (line) => console.log(line),
  });
  payload[Symbol.dispose]();
  before(() => host.boot());
  after(() => host[Symbol.asyncDispose]());
  const guest = (name: string): string =>
    defineScript(name, 'tcg').replace('console=ttyS0', 'console=ttyS0 quiet panic=-1 qward.synced');
  const nothingLost = async (): Promise<void> => {
    const [web] = await countersOf(host, 'web');
    assert.ok(web !== undefined && web.written >= web.said && web.said > 0, JSON.stringify(web));
  };

  test(`the package installs under ${init}, and its start script has started it`, async () => {
    assert.match(await host.demand('cat /proc/1/comm; command -v openrc rc-service; true'), first);
    await host.demand('[ ! -e /run/systemd/system ]');
    const output = await host.demand(install, 300_000);
    assert.match(output, /qward is up/);
    assert.equal(await host.demand(daemons), 'qward qward-manager\nroot qward-broker\n');
    if (ownScript !== undefined) await host.demand(ownScript);
    await host.demand(service('status'));
    await host.demand('cp /lab/vmlinuz /lab/initrd.cpio /var/lib/qward/images/');
    const { output: doctor } = await host.run('qward doctor', 120_000);
    assert.match(doctor, /can give every mandatory wall/);
  });

  test('a machine runs in its jail, and goes on while the daemons are restarted', async () => {
    await host.demand(guest('web'));
    await host.demand('qward autostart on web && qward start web', 120_000);
    await host.demand('qward audit web');
    const before = await host.demand(pidOf('web'));
    assert.match(before, /^\d+\n?$/);
    await host.demand(service('restart'), 120_000);
    assert.equal(await host.demand(pidOf('web')), before);
  });

  test('stop ends machines in an orderly way, status tells, and start brings back what starts with the host', async () => {
    await host.demand(seen('web', 'synced'), 180_000);
    assert.match(await host.demand(service('stop'), 120_000), /web: .*shut down/);
    assert.match(
      await host.demand('cat /var/lib/qward/manager/console/web/*'),
      /power button, shutting down/,
    );
    await nothingLost();
    assert.equal((await host.demand(`${daemons}; pgrep -x qemu-system-x86 || true`)).trim(), '');
    assert.notEqual((await host.run(service('status'))).status, 0);
    await host.demand(service('start'), 180_000);
    await host.demand(service('status'));
    assert.match(await host.demand('qward list'), /web +running/);
  });

  test('the host goes down and up again with its machine, and nothing that the guest wrote is lost', async () => {
    await host.demand('rm -f /var/lib/qward/manager/console/web/*');
    await host.demand(`${service('restart')}\n${seen('web', 'synced')}`, 240_000);
    await host.demand('qward autostart list');
    await host.powerOff();
    await host.boot();
    await host.demand(
      'for i in $(seq 60); do qward list | grep -q "web .*running" && exit 0; sleep 1; done; exit 1',
    );
    const console = await host.demand('cat /var/lib/qward/manager/console/web/*');
    assert.match(console, /power button, shutting down/);
    await host.demand('qward kill web');
    await nothingLost();
  });

  test('account and range cannot change while there is a machine, and do when there is none', async () => {
    const answers = preseed({ user: 'string vmd', 'uid-range': 'string 1900000000-1900000999' });
    const reconfigure = `printf 'vmd\\n\\n1900000000-1900000999\\n' | script -qec 'dpkg-reconfigure -fteletype -plow qward' /dev/null`;
    const refused = await host.run(reconfigure, 120_000);
    assert.match(refused.output, /cannot change while there are machines: web/);
    assert.match(await host.demand(daemons), /^qward qward-manager$/m);
    await host.demand('qward rm web');
    const changed = await host.demand(`${answers}\n${reconfigure}`, 180_000);
    assert.doesNotMatch(changed, /not configured/);
    assert.equal(await host.demand(daemons), 'root qward-broker\nvmd qward-manager\n');
    assert.match(
      await host.demand('id -u qward-machines; grep -h qward /etc/subuid'),
      /^1900000000\nqward-machines:1900000000:1000\n$/,
    );
    await host.demand(guest('late'));
    await host.demand('qward start late && qward audit late', 120_000);
    assert.match(await host.demand(`ps -o uid= -p $(${pidOf('late')})`), /^ *1900000\d\d\d\n$/);
  });

  test('an upgrade restarts the manager of a session too, without touching machines', async () => {
    // The container's /proc/sys is closed, and no user mounts a /proc for a jail where none is to be seen whole.
    await host.demand(`mkdir /run/proc && mount -t proc proc /run/proc
useradd --create-home ann
install -o ann -g ann -m 0600 /lab/vmlinuz /lab/initrd.cpio /home/ann/`);
    const boot =
      '{kernel: /home/ann/vmlinuz, initrd: /home/ann/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1}';
    await host.demand(
      asAnn(`printf '%s\\n' 'name: desk' 'accel: tcg' 'memory: 128MiB' 'boot: ${boot}' > desk.yaml
qward define desk.yaml && qward start desk`),
      120_000,
    );
    const look = `${pidOf('late')}; pgrep -u ann -x qemu-system-x86`;
    const managers = 'pgrep -x qward-manager';
    const [before, managersBefore] = [await host.demand(look), await host.demand(managers)];
    assert.match(
      await host.demand(install, 300_000),
      /the manager was restarted \(before: \S+\), and in the sessions of ann; machines that run on untouched: late ann\/desk/,
    );
    assert.equal(await host.demand(look), before);
    const after = (await host.demand(managers)).trim().split('\n');
    assert.deepEqual(
      [after.length, after.filter((pid) => managersBefore.split('\n').includes(pid))],
      [2, []],
    );
    assert.match(await host.demand(asAnn('qward audit desk')), /walls stand/);
  });

  test('removed and purged with machines running, it leaves the images and what is a user’s own', async () => {
    const removed = await host.demand(
      `${preseed({ 'stop-machines': 'boolean true' })}\nDEBIAN_FRONTEND=noninteractive dpkg --purge qward`,
      300_000,
    );
    assert.match(removed, /shutting machines down: late ann\/desk/);
    const left = `${daemons}; pgrep -x qemu-system-x86; getent passwd vmd qward qward-machines; getent group vmd qward-admin qward-operators
grep -h qward /etc/subuid /etc/subgid; find / -xdev -name '*qward*' -not -path '/var/lib/qward*' -not -path '/lab/*' -not -path '/proc/*' -not -path '/home/*' -not -path '/tmp/*' 2>/dev/null
findmnt -rno TARGET | grep qward; find /sys/fs/cgroup -maxdepth 2 -name qward; debconf-show qward; true`;
    assert.equal((await host.demand(left)).trim(), '');
    assert.equal((await host.demand('ls -A /var/lib/qward')).trim(), 'images');
  });
}
