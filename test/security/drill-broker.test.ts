/** Promises 1 and 5: the broker's drill runs the broker's prober and nothing of a request's, and the prober stands in no QEMU's jail. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import prober from '../../resources/drill/prober.json' with { type: 'json' };
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { drillProgram, type LaunchRequest } from '../../src/protocol/launch.ts';
import { compileScript } from '../../src/audit/drill/script.ts';
import { call } from '../../src/audit/drill/calls.ts';
import { startTestBroker, traces } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

const longPause = compileScript([[call('poll', 0, 0, 60_000)]]);
const bash = { source: '/usr/bin/bash', target: drillProgram };

test('another program in the drill, at its place or around it is refused, and nothing is made', async () => {
  await using broker = await startTestBroker();
  const base = await testLaunch('web');
  const drill: LaunchRequest = { ...base, program: 'drill', binary: drillProgram, argv: longPause };
  const attacks: readonly Partial<LaunchRequest>[] = [
    { binary: base.binary },
    { binary: '/usr/bin/bash' },
    { root: [bash, ...base.root] },
    { root: [{ source: '/usr/libexec', target: '/usr/libexec' }, ...base.root] },
    { root: [{ source: '/usr/bin/bash', target: `${drillProgram}/x` }, ...base.root] },
    { program: 'qemu' },
  ];
  for (const attack of attacks) {
    const launch = { ...drill, ...attack };
    const reply = await broker.ask({ v: 1, call: 'launch', launch });
    assert.equal(reply.ok, false, JSON.stringify(attack).slice(0, 200));
  }
  assert.deepEqual(traces(broker.site), []);
});

test('the prober stands in the tree of the drill alone, as it is kept', async () => {
  await using broker = await startTestBroker();
  const base = await testLaunch('web');
  const drill: LaunchRequest = { ...base, program: 'drill', binary: drillProgram, argv: longPause };
  const inside = async (launch: LaunchRequest): Promise<Buffer | undefined> => {
    const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
    assert.ok(reply.ok, JSON.stringify(reply));
    const place = `/proc/${reply.result.pid}/root${drillProgram}`;
    const found = existsSync(place) ? readFileSync(place) : undefined;
    assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'web' })).ok);
    return found;
  };
  assert.deepEqual(await inside(drill), Buffer.from(prober.elf, 'base64'));
  assert.equal(await inside(base), undefined);
  assert.ok((await inside(drill)) !== undefined);
  assert.deepEqual(traces(broker.site), []);
});
