/**
 * Fifty machines on a host with systemd: started with it, as many at a time as it has room for, and taken over by a new manager. How
 * long that takes is told, not judged: this host's processors are translated. The bench judges it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost, keepJournal } from '../suite-host.ts';

const count = 50;
const names = Array.from({ length: count }, (_, index) => `m${String(index).padStart(2, '0')}`);
const host = await installedHost({ prepare: keepJournal, memoryMib: 6144 });

/** Eight for each of the host's two cores. */
const ceiling = 16;

test(`${count} machines start with the host, and no more at once than it has room for`, async (context) => {
  await host.demand(
    `for name in ${names.join(' ')}; do
  printf '%s\\n' "name: $name" 'accel: tcg' 'memory: 16MiB' 'stop: {timeout: 1s}' 'onHostShutdown: kill' | qward define -
done
qward autostart on --all`,
    300_000,
  );
  await host.reboot();
  const listed = JSON.parse(await host.demand('qward list --json')) as Record<string, unknown>;
  const states = Object.values(listed).flat() as readonly { readonly name: string; readonly state: string }[];
  const [failed] = states.filter(({ state }) => state !== 'running');
  assert.deepEqual(
    states.map(({ name, state }) => `${name} ${state}`),
    names.map((name) => `${name} running`),
    failed === undefined ? '' : (await host.run(`qward status ${failed.name}`)).output,
  );
  // By systemd's own count: when each scope was begun, and when its machine ran.
  const journal = await host.demand(
    "journalctl -b -o short-monotonic --no-pager _PID=1 + _SYSTEMD_UNIT=qward-machines.service | grep -E 'qward-m[0-9]+\\.scope|m[0-9]+: started'",
  );
  let starting = 0;
  let most = 0;
  for (const line of journal.split('\n')) {
    if (/Started qward-m\d+\.scope/.test(line)) most = Math.max(most, (starting += 1));
    else if (/m\d+: started/.test(line)) starting -= 1;
  }
  context.diagnostic(`at most ${most} at once`);
  assert.ok(most > 1 && most <= ceiling, `${most} at once`);
  assert.equal(starting, 0, journal.slice(-3000));
});

test(`a new manager takes all ${count} over, each as it is`, async (context) => {
  const pids = 'cat /sys/fs/cgroup/qward.slice/qward-m*.scope/cgroup.procs | sort';
  const before = await host.demand(pids);
  assert.equal(before.trim().split('\n').length, count);
  // Paused they leave the host's processors to what is measured, as machines that idle under KVM do.
  await host.demand('qward pause --all', 300_000);
  const adopted = await host.demand(
    `systemctl kill --signal=KILL --kill-who=main qward-manager
for i in $(seq 60); do [ "$(qward list --json 2>/dev/null | grep -o '"paused"' | wc -l)" = ${count} ] && break; sleep 0.5; done
grep -h 'took over' /run/qward/manager.log /var/log/qward/manager.log 2>/dev/null
journalctl -b -u qward-manager -o cat --no-pager | grep -iE 'took over|taken over|adopt' | tail -n 3`,
    180_000,
  );
  context.diagnostic(adopted);
  assert.equal(await host.demand(pids), before);
  await host.demand('qward audit m00 m25 m49', 180_000);
});
