/**
 * What an administrator leaves to qward on a booted host: order, readiness and failures at boot; the ways to end with the host; restarts;
 * hooks; who may say so; and machines that go on, end and are recorded while no manager runs, or one of another version did.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestScript, kvmProvedScript, lastShutdown } from '../payload.ts';
import { installedHost, keepJournal } from '../suite-host.ts';
import { untilConsole } from '../world.ts';

/** Who may: an operator, an administrator, and an owner with a home of her own. */
const accounts = `for name in olga adam anna; do useradd --create-home --shell /bin/bash $name; done
usermod --append --groups qward-operators olga
usermod --append --groups qward-admin adam
sed -i 's/"define": {}/"define": {"users": ["anna"]}/' /etc/qward/policy.json
qward policy check`;

const host = await installedHost({ prepare: `${keepJournal}\n${accounts}\n${kvmProvedScript}` });

/** Firmware that finds nothing to boot: it costs the host next to nothing, and hears no power button. */
const bare = (name: string, ...more: string[]): string =>
  `qward define - <<'END'\n${[`name: ${name}`, 'accel: tcg', 'memory: 32MiB', ...more].join('\n')}\nEND`;
/** In the system instance: of its own accord a user's `qward` means the session. */
const as = (user: string, command: string): string =>
  `runuser -u ${user} -- ${command.replace(/^qward /, 'qward --system ')}`;
const clean = 'qward kill --all --yes; qward rm --force --yes $(qward list -q); qward autostart list -q';

interface Listed {
  readonly state: string;
  readonly pid: number | null;
  readonly since: string;
  readonly notRestarted: string | null;
  readonly lastEnd: { readonly how: string } | null;
}
/** Whatever the exit status says of its state. */
const statusOf = async (name: string): Promise<Listed> =>
  JSON.parse((await host.run(`qward status ${name} --json`)).output) as Listed;
async function until(name: string, what: string, isSo: (status: Listed) => boolean): Promise<Listed> {
  const giveUpAt = performance.now() + 120_000;
  for (;;) {
    const status = await statusOf(name);
    if (isSo(status)) return status;
    assert.ok(performance.now() < giveUpAt, `${name} is not ${what}: ${JSON.stringify(status)}`);
  }
}
const startedAt = async (name: string): Promise<number> => Date.parse((await statusOf(name)).since);

test('a host that is too busy for the proof of KVM is not taken for one without it', async () => {
  await host.demand(
    `systemctl stop qward-manager.service && find /run/qward -name kvm.json -delete
(qward start nobody; true) &
qward doctor >/run/doctor & for i in $(seq 200); do pid=$(cat /sys/fs/cgroup/qward.slice/qward-kvm-probe.scope/cgroup.procs 2>/dev/null) && [ -n "$pid" ] && break; sleep 0.1; done
sleep 1; kill -STOP $pid; sleep 8; kill -CONT $pid; wait`,
    120_000,
  );
  assert.match(await host.demand('cat /run/doctor'), /KVM\s+a test guest ran/);
});

test('the host boots: each comes when those before it are ready, and what fails holds up those alone that need it', async (context) => {
  // The first card of a network has the third address: the first is the host's, the second the server's.
  const net = 'nics: [{id: net0, kind: network, network: lan}]';
  const ready = 'autostart: {after: [db], ready: port, address: 10.77.0.3, port: 80, timeout: 4m}';
  await host.demand('qward network create lan --subnet 10.77.0.0/24 --nat');
  await host.demand(
    [
      guestScript('db', 'qward.agent', 'agent: true\nautostart: {ready: guest-agent, timeout: 4m}'),
      guestScript('app', 'qward.net', `${net}\n${ready}`),
      bare('web', 'autostart: {after: [app], ready: delay, settle: 4s}'),
      bare('proxy', 'autostart: {after: [web], delay: 3s}'),
      bare('broken', 'disks: [{id: root, path: /var/lib/qward/images/nothing.raw, format: raw}]'),
      bare('needs', 'autostart: {after: [broken]}'),
      bare('alone'),
      bare('mute', 'agent: true', 'autostart: {ready: guest-agent, timeout: 5s}'),
      bare('patient', 'autostart: {after: [mute]}'),
      'qward autostart on --all',
    ].join('\n'),
    120_000,
  );
  await host.reboot();
  const lines = await host.demand(
    'journalctl -b -o cat --no-pager _SYSTEMD_UNIT=qward-machines.service | grep :',
  );
  context.diagnostic(lines);
  for (const name of ['db', 'app', 'web', 'proxy', 'alone'])
    assert.match(lines, new RegExp(`^${name}: started$`, 'm'));
  assert.match(lines, /^broken: not started: disk "root": .*nothing\.raw" does not exist$/m);
  assert.match(lines, /^needs: not started: it comes after broken, which failed to start: /m);
  assert.match(lines, /^mute: started, not ready: the guest agent did not answer .* within 5 s$/m);
  assert.match(lines, /^patient: not started: it comes after mute, which is not ready: /m);
  const [db, app, web, proxy] = await Promise.all(['db', 'app', 'web', 'proxy'].map(startedAt));
  assert.ok(db !== undefined && app !== undefined && web !== undefined && proxy !== undefined);
  assert.ok(db < app && app < web, `${db} ${app} ${web}`);
  assert.ok(proxy - web >= 7000, `4 s that web is given, 3 s that proxy waits: ${proxy - web} ms`);
  assert.match(await host.demand('qward console --log db'), /qward-demo: ready/);
  assert.match(await host.demand('qward console --log app'), /network 10\.77\.0\.3/);
  // A machine that does not start is none of systemd's concern.
  assert.equal((await host.run('systemctl is-system-running --wait')).output.trim(), 'running');
});

test('only administrators enable, over connections of their own; operators and owners disable; both is kept', async () => {
  await host.demand(as('anna', bare('hers')));
  for (const user of ['olga', 'anna']) {
    const { status, output } = await host.run(as(user, 'qward autostart on hers'));
    assert.notEqual(status, 0);
    assert.match(output, /only administrators enable the start of a machine with the host/);
  }
  await host.demand(as('adam', 'qward autostart on hers'));
  await host.demand(as('anna', 'qward autostart off hers'));
  await host.demand(as('adam', 'qward autostart on hers'));
  await host.demand(as('olga', 'qward autostart off hers'));
  const file = '/var/lib/qward/broker/autostart.json';
  assert.equal((await host.demand(`stat -c %U:%a ${file}`)).trim(), 'root:600');
  assert.notEqual((await host.run(as('qward', `sh -c 'echo >>${file}'`))).status, 0);
  const history = await host.demand('qward history --json');
  for (const user of ['anna', 'olga']) assert.match(history, new RegExp(`"user": ?"${user}"`));
  assert.match(await host.demand('cat /var/lib/qward/broker/claims.log*'), /autostart-on.*hers/);
});

test('the host goes down: in the reverse order, and each machine in its own way', async (context) => {
  await host.demand(clean, 120_000);
  await host.demand(
    [
      guestScript('base', 'qward.agent', 'agent: true'),
      bare('killed', 'onHostShutdown: kill', 'autostart: {after: [base]}'),
      bare('left', 'onHostShutdown: leave', 'autostart: {after: [killed]}'),
      bare('deaf', 'stop: {timeout: 2s}', 'autostart: {after: [left]}'),
      guestScript('saved', 'qward.counter', 'onHostShutdown: save'),
      'qward autostart on saved',
      'for name in base killed left deaf saved; do qward start $name || exit 1; done',
      untilConsole('saved', 'qward-demo: counter'),
      untilConsole('base', 'qward-demo: ready'),
    ].join('\n'),
    400_000,
  );
  await host.reboot();
  const { ends, signalled } = await lastShutdown(host);
  context.diagnostic(ends);
  const line = (name: string): number => {
    const at = ends.split('\n').findIndex((text) => text.startsWith(`${name}: `));
    assert.ok(at >= 0, `${name} is not told of:\n${ends}`);
    return at;
  };
  assert.match(ends, /^saved: saved$/m);
  assert.match(ends, /^killed: killed/m);
  assert.match(ends, /^deaf: killed/m, 'it hears no power button: after its own two seconds');
  assert.match(ends, /^left: left running$/m);
  assert.match(ends, /^base: shut down$/m);
  assert.ok(line('deaf') < line('killed') && line('killed') < line('base'), ends);
  assert.deepEqual(signalled, []);
  assert.match(
    await host.demand('cat /var/lib/qward/manager/console/base/*'),
    /guest-shutdown, shutting down/,
  );
  // What was saved goes on where it was.
  await until('saved', 'running', ({ state }) => state === 'running');
  assert.match(await host.demand('qward logs saved'), /restored/);
  const console = await host.demand('qward console --log saved');
  assert.equal(console.match(/qward-demo: ready/g)?.length, 1, 'it did not boot again');
  const told = Number([...console.matchAll(/counter (\d+)/g)].at(-1)?.[1]);
  await host.demand(untilConsole('saved', `counter ${told + 50}[^0-9]`), 150_000);
  await host.demand('qward audit --all', 120_000);
});

test('a machine that crashes, panics, reboots or powers off does what its definition says', async () => {
  await host.demand(clean, 120_000);
  const restart = 'restart: {delay: 200ms, maxDelay: 1s, attempts: 2, within: 1h}';
  await host.demand(bare('victim', 'onCrash: restart', restart));
  await host.demand('qward start victim');
  let last: number | null = null;
  for (let life = 1; life <= 3; life += 1) {
    const { pid } = await until('victim', 'up', (one) => one.state === 'running' && one.pid !== last);
    last = pid;
    await host.demand(`kill -9 ${pid}`);
  }
  const given = await until('victim', 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.deepEqual([given.state, given.lastEnd?.how], ['crashed', 'crashed']);
  assert.match(await host.demand('qward logs victim'), /restarts in 0\.4 s, 2 of 2/);
  await host.demand(
    [
      guestScript('panics', 'qward.panic=1', 'onCrash: pause'),
      guestScript('returns', 'qward.poweroff', `onPowerOff: restart\n${restart}`),
      guestScript('once', 'qward.reboot=1', 'onReboot: stop'),
      'qward start panics returns once',
    ].join('\n'),
    120_000,
  );
  await until('panics', 'paused', ({ state }) => state === 'paused');
  assert.match(await host.demand('qward logs panics'), /the guest's kernel panicked \(pause\)/);
  const { state, lastEnd } = await until('once', 'stopped', (one) => one.state === 'stopped');
  assert.deepEqual([state, lastEnd?.how], ['stopped', 'shut down']);
  await until('returns', 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.equal((await host.demand('qward logs returns')).match(/started as pid/g)?.length, 3);
});

test('hooks of the policy run around a machine, in a jail, as nobody of the host', async () => {
  await host.demand(clean, 120_000);
  await host.demand(`install -d -m 0755 /etc/qward/hooks
cat >/etc/qward/hooks/prepare <<'END'
#!/bin/sh
echo "$1 of $2 as $(id -u), $(ls /etc /home 2>/dev/null | wc -l) names"
END
printf '#!/bin/sh\\nsleep 60\\n' >/etc/qward/hooks/hangs
printf '#!/bin/sh\\necho never\\n' >/etc/qward/hooks/loose
chmod 0755 /etc/qward/hooks/prepare /etc/qward/hooks/hangs && chmod 0775 /etc/qward/hooks/loose
cd /etc/qward/hooks && for name in *; do printf '{"name": "%s", "path": "/etc/qward/hooks/%s"},' $name $name; done >/run/hooks
sed -i "s|\\"hooks\\": \\[\\]|\\"hooks\\": [$(sed 's/,$//' /run/hooks)]|" /etc/qward/policy.json
qward policy check`);
  await host.demand(bare('hooked', 'hooks: {start: prepare, stop: prepare}'));
  await host.demand('qward start hooked && qward kill hooked', 120_000);
  const log = await host.demand('qward logs hooked');
  const said = [...log.matchAll(/(start|stop) of hooked as (\d+), (\d+) names/g)];
  assert.deepEqual(
    said.map(([, event, uid, names]) => [event, Number(uid) >= 1_879_048_192, names]),
    [
      ['start', true, '0'],
      ['stop', true, '0'],
    ],
    log,
  );
  await host.demand(bare('late', 'hooks: {start: hangs}'));
  const late = await host.run('qward start late', 120_000);
  assert.notEqual(late.status, 0);
  assert.match(late.output, /30 s/);
  await host.demand(bare('open', 'hooks: {start: loose}'));
  const open = await host.run('qward start open', 120_000);
  assert.notEqual(open.status, 0);
  assert.match(open.output, /loose.*(write|0775)/s);
});

test('while no manager runs machines go on; one that ends is found to have ended, and the others answer again', async () => {
  await host.demand(clean, 120_000);
  await host.demand(
    [
      guestScript('talks', 'qward.counter'),
      bare('dies'),
      bare('stays'),
      'qward start talks dies stays',
      untilConsole('talks', 'qward-demo: counter'),
    ].join('\n'),
    240_000,
  );
  const [dies, stays] = [await statusOf('dies'), await statusOf('stays')];
  await host.demand(`systemctl stop qward-manager.socket qward-manager.service
kill -9 ${dies.pid}; sleep 2
systemctl start qward-manager.socket qward-manager.service`);
  const after = await until('dies', 'over', ({ pid }) => pid === null);
  assert.notEqual(after.state, 'running');
  assert.notEqual(after.lastEnd, null);
  assert.equal((await statusOf('stays')).pid, stays.pid);
  const told = await host.demand('qward console --log talks');
  const last = Number([...told.matchAll(/counter (\d+)/g)].at(-1)?.[1]);
  await host.demand(untilConsole('talks', `counter ${last + 100}[^0-9]`), 200_000);
  assert.match(await host.demand('qward stop talks', 120_000), /shut down/);
  await host.demand('qward audit stays && qward kill stays');
});

test('state of an older qward is read; of a newer one it is left alone, and doctor says so', async () => {
  const definitions = '/var/lib/qward/manager/machines';
  await host.demand(bare('old'));
  await host.demand(bare('new'));
  await host.demand(`cd ${definitions} && ls
systemctl stop qward-manager.socket qward-manager.service
sed -i 's/"version": *2/"version": 1/; s/"grants": *\\[\\],\\?//' old.json && sed -i 's/,\\s*}/}/' old.json
sed -i 's/"version": *2/"version": 99/' new.json
cp new.json /run/new.json
systemctl start qward-manager.socket qward-manager.service`);
  await host.demand('qward start old && qward audit old && qward kill old', 120_000);
  assert.notEqual((await host.run('qward start new')).status, 0);
  assert.match(
    (await host.run('qward doctor', 120_000)).output,
    /new\.json.*version 99, and this qward knows versions 1 to 2/s,
  );
  await host.demand(`cmp ${definitions}/new.json /run/new.json`);
  await host.demand(
    `systemctl stop qward-manager.socket qward-manager.service
sed -i 's/"version": *99/"version": 2/' ${definitions}/new.json
systemctl start qward-manager.socket qward-manager.service
qward start new && qward audit new && qward kill new`,
    120_000,
  );
});
