/** A real qemu-img that stands still, or wants more memory than it was given: ended, and told why. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { before, test } from 'node:test';
import { isAlive } from '../../src/linux/process.ts';
import { createBrokerClient, defaultDeadlinesMs } from '../../src/manager/broker-client.ts';
import { judgeStep } from '../../src/manager/disks/job-output.ts';
import { defaultStepLimits, runStep, type StepLimits } from '../../src/manager/disks/run-step.ts';
import { gatherTool, imageTool } from '../../src/manager/facts/tool.ts';
import { planDiskStep, type DiskStep } from '../../src/plan/disk-job.ts';
import type { BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { enterOwnNetwork } from '../support/network.ts';

const MiB = 1024 ** 2;
const job = 'qward-disk-0123456789ab';

before(() => enterOwnNetwork());

/** A convert that takes a minute: 64 MiB of data at 1 MiB a second. */
async function longConvert(
  { images }: TestBroker,
  rate: number | null = MiB,
): Promise<{ step: DiskStep; launch: LaunchRequest }> {
  const [source, target] = [`${images}/source.raw`, `${images}/target.qcow2`];
  execFileSync('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=64', 'status=none']);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', target, '64M']);
  const tool = await gatherTool('/usr/bin/qemu-img', imageTool);
  assert.ok(tool.ok);
  const step: DiskStep = {
    do: 'convert',
    image: { path: source, format: 'raw', claimant: null, backing: [] },
    target: { path: target, format: 'qcow2', claimant: null },
    compress: false,
    rate,
  };
  return { step, launch: planDiskStep(step, { machine: job, tool: tool.value, virtualSize: 64 * MiB }) };
}

function begin({ site }: TestBroker, launch: LaunchRequest, limits: StepLimits): ReturnType<typeof runStep> {
  const broker = createBrokerClient({
    socketPath: site.paths.brokerSocket,
    connectForMs: 3000,
    deadlineMs: defaultDeadlinesMs,
  });
  const { signal } = new AbortController();
  return runStep({ broker, now: () => new Date(), limits }, launch, { signal, onProgress: () => undefined });
}

/** The job once it is at work. */
async function atWork(broker: TestBroker): Promise<LaunchedMachine> {
  for (;;) {
    const status = await broker.ask<BrokerStatus>({ v: 1, call: 'status' });
    const found = status.ok ? status.result.machines.find(({ machine }) => machine === job) : undefined;
    if (found?.alive === true && found.pid !== 0) return found;
    await wait(20);
  }
}

test('a job that stands still is ended after its limit, and none of it stays', async () => {
  await using broker = await startTestBroker();
  const { launch } = await longConvert(broker);
  const running = begin(broker, launch, { ...defaultStepLimits, stallMs: 1500 });
  const { pid, startTime } = await atWork(broker);
  process.kill(pid, 'SIGSTOP');
  const outcome = await running;
  assert.ok(!outcome.ok);
  assert.match(outcome.faults[0]?.message ?? '', /^qemu-img was ended: nothing moved for 1\.5 s$/);
  assert.equal(outcome.faults[0]?.code, 'timed-out');
  assert.ok(!isAlive(pid, startTime));
  assert.deepEqual(traces(broker.site), []);
});

test('a job that works is not taken for one that stands still', async () => {
  await using broker = await startTestBroker();
  const { launch } = await longConvert(broker);
  const running = begin(broker, launch, { ...defaultStepLimits, stallMs: 3000 });
  const { pid, startTime } = await atWork(broker);
  const early = await Promise.race([running, wait(6000)]);
  assert.equal(early, undefined, JSON.stringify(early));
  assert.ok(isAlive(pid, startTime));
  await broker.ask({ v: 1, call: 'kill', machine: job });
  await running;
  assert.deepEqual(traces(broker.site), []);
});

test('a job that needs more memory than its limit is ended by the kernel, and its limit is named', async () => {
  await using broker = await startTestBroker();
  const { step, launch } = await longConvert(broker, null);
  // Enough for a runtime to begin it, and less than eight buffers of 2 MiB (qemu-img.c, IO_BUF_SIZE).
  const small = { ...launch, limits: { ...launch.limits, memory: 8 * MiB } };
  const ended = await begin(broker, small, defaultStepLimits);
  assert.ok(ended.ok, JSON.stringify(ended));
  assert.equal(ended.value.memoryHit, true);
  const judged = judgeStep(step, ended.value, small);
  assert.ok(!judged.ok);
  assert.match(judged.faults[0]?.message ?? '', /^qemu-img needed more memory than its 8 MiB$/);
  assert.deepEqual(traces(broker.site), []);
});
