/**
 * What a wall costs a guest that sends: by a bridge and vhost-net under KVM, beside the same QEMU with the same arguments started bare, on the
 * same CPU. The host's processors are translated, so the two are held against one another, and neither against anything else.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarise } from '../../bench/measure.ts';
import type { Rate } from '../../bench/sink.ts';
import { guestScript } from '../payload.ts';
import { installedHost } from '../suite-host.ts';
import { bringProgram } from '../world.ts';

const rounds = 9;
const least = 0.95;

const pouring = (name: string, address: string, port: number): string =>
  guestScript(
    name,
    `qward.address=${address} qward.pour=192.0.4.1:${port}`,
    'nics: [{ id: net, kind: bridge, bridge: br0 }]',
  );

const host = await installedHost({
  bring: (directory) => bringProgram(directory, 'throughput'),
  prepare: `modprobe vhost_net
ip link add br0 type bridge
ip address add 192.0.4.1/24 dev br0
ip link set br0 up
sed -i 's/"bridges": \\[\\]/"bridges": ["br0"]/' /etc/qward/policy.json
qward policy check
(${pouring('jailed', '192.0.4.2', 9003)}
)
(${pouring('bare', '192.0.4.3', 9004)}
)`,
});

test('over a bridge with vhost-net a jailed guest sends as fast as one of a bare QEMU', async (context) => {
  await host.demand('qward start jailed && qward audit jailed', 300_000);
  // The kernel carries its packets: one that QEMU carries would say nothing of vhost.
  assert.match(
    await host.demand(
      'ls -l /proc/$(qward status jailed --json | sed -n \'s/.*"pid": *\\([0-9]*\\).*/\\1/p\' | head -n 1)/fd',
    ),
    /vhost-net/,
  );
  const told = await host.demand(
    `/usr/lib/qward/node --disable-warning=ExperimentalWarning --experimental-ffi /lab/throughput.js ${rounds} 2>&1`,
    600_000,
  );
  const rates = JSON.parse(told.slice(told.indexOf('{'))) as Record<'jailed' | 'bare', readonly Rate[]>;
  const share = (of: keyof Rate): number => {
    const [jailed, bare] = [rates.jailed, rates.bare].map(
      (all) => summarise(all.map((rate) => rate[of])).median,
    );
    context.diagnostic(
      `${of === 'cpu' ? 'MiB for each second of CPU time' : 'MiB/s'}: ${jailed?.toFixed(1)} and ${bare?.toFixed(1)} bare`,
    );
    return (jailed ?? 0) / (bare ?? Infinity);
  };
  const [wall, cpu] = [share('wall'), share('cpu')];
  context.diagnostic(`share of bare: ${wall.toFixed(2)}, for the same CPU time ${cpu.toFixed(2)}`);
  // A timed test is none of the others: this host does nothing else, and the two take turns.
  assert.ok(Math.max(wall, cpu) >= least, `${wall} and ${cpu} of bare`);
});
