/**
 * Boot and shutdown of a host with systemd: machines start in their order and end as their definitions say, before systemd signals
 * anything of theirs; meanwhile daemons are reloaded, killed and hung.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countersOf, guestScript, lastShutdown } from '../payload.ts';
import { installedHost, keepJournal } from '../suite-host.ts';

const host = await installedHost({ prepare: keepJournal });

const names = ['db', 'web', 'deaf'];
const property = async (unit: string, name: string): Promise<string> =>
  (await host.demand(`systemctl show --property=${name} --value ${unit}`)).trim();
const pids = async (): Promise<string> =>
  await host.demand(
    `for name in ${names.join(' ')}; do cat /sys/fs/cgroup/qward.slice/qward-$name.scope/cgroup.procs; done`,
  );

test('machines that start with the host are up after its boot, in their order, each in a scope of its own', async () => {
  await host.demand(guestScript('db', 'qward.counter'));
  await host.demand(guestScript('web', '', 'autostart: {after: [db]}'));
  await host.demand(guestScript('deaf', 'qward.noacpi', 'stop: {timeout: 5s}'));
  await host.demand(`qward autostart on ${names.join(' ')}`);
  await host.reboot();
  const states: unknown = JSON.parse(await host.demand('qward list --json'));
  assert.deepEqual(
    Object.values(Object(states))
      .flat()
      .map((machine) => [Reflect.get(Object(machine), 'name'), Reflect.get(Object(machine), 'state')]),
    [...names].sort().map((name) => [name, 'running']),
  );
  const [db, web] = await Promise.all([
    property('qward-db.scope', 'ActiveEnterTimestampMonotonic'),
    property('qward-web.scope', 'ActiveEnterTimestampMonotonic'),
  ]);
  assert.ok(Number(db) < Number(web), `${db} ${web}`);
  assert.equal(await property('qward-web.scope', 'Slice'), 'qward.slice');
  assert.equal((await host.run('systemctl is-system-running --wait')).output.trim(), 'running');
});

test('a reload of systemd changes no limit and no wall', async () => {
  const files = 'memory.max pids.max cpu.max cpu.weight io.weight';
  const limits = (): Promise<string> =>
    host.demand(`cd /sys/fs/cgroup/qward.slice/qward-web.scope && grep . ${files}`);
  const planned = await limits();
  assert.doesNotMatch(planned, /(memory|pids)\.max:max/);
  await host.demand(
    'systemctl daemon-reload && systemctl daemon-reexec && systemctl set-property --runtime qward.slice CPUWeight=90',
  );
  assert.equal(await limits(), planned);
  await host.demand('qward audit web db deaf', 120_000);
});

test('a manager that is killed or hangs is started again, and machines go on', async () => {
  const running = await pids();
  const machines = await property('qward-machines.service', 'InvocationID');
  const back = (count: number): string =>
    `for i in $(seq 100); do [ "$(systemctl show --property=NRestarts --value qward-manager)" -ge ${count} ] && qward list >/dev/null 2>&1 && exit 0; sleep 1; done; exit 1`;
  await host.demand(`systemctl kill --signal=KILL --kill-who=main qward-manager; ${back(1)}`, 150_000);
  await host.demand(
    `mkdir -p /run/systemd/system/qward-manager.service.d
printf '[Service]\\nWatchdogSec=10s\\n' >/run/systemd/system/qward-manager.service.d/soon.conf
systemctl daemon-reload && systemctl restart qward-manager && systemctl reload qward-manager`,
  );
  await host.demand(`systemctl kill --signal=STOP --kill-who=main qward-manager; ${back(1)}`, 150_000);
  assert.match(await host.demand('journalctl --unit=qward-manager --no-pager'), /Watchdog timeout/);
  assert.equal(await pids(), running);
  assert.equal(await property('qward-machines.service', 'InvocationID'), machines);
});

test('when the host goes down guests shut down first; one that does not listen costs its own limit', async () => {
  await host.demand('qward autostart off --all');
  // The broker has ended: it is its socket that must work while the host goes down.
  await host.demand(
    'for i in $(seq 30); do [ "$(systemctl is-active qward-broker)" = inactive ] && exit 0; sleep 3; done; exit 1',
  );
  await host.reboot();
  const { ends, signalled, seconds } = await lastShutdown(host);
  assert.match(ends, /^db: .*shut down$/m);
  assert.match(ends, /^web: .*shut down$/m);
  assert.match(ends, /^deaf: .*killed/m);
  assert.deepEqual(signalled, [], 'systemd has signalled no scope');
  assert.ok(seconds < 60, `${seconds} s`);
  for (const name of ['db', 'web'])
    assert.match(
      await host.demand(`cat /var/lib/qward/manager/console/${name}/*`),
      /power button, shutting down/,
    );
  const [db] = await countersOf(host, 'db');
  assert.ok(db !== undefined && db.written >= db.said && db.said > 0, JSON.stringify(db));
});

test('the units are as confined as they can be', async () => {
  const scores = await host.demand('systemd-analyze security --no-pager | grep qward');
  const scoreOf = (unit: string): number => Number(new RegExp(`${unit}\\S*\\s+(\\S+)`).exec(scores)?.[1]);
  assert.ok(scoreOf('qward-manager') <= 2, scores);
});
