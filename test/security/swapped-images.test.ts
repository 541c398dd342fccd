/**
 * Promise 2, rule images: an image that is another when its job opens it than when it was looked at. The job of a good chain runs on images
 * that no look lets pass: what a header names is neither read nor written, since the chain is the job's and its jail has nothing else.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { createBrokerClient, defaultDeadlinesMs } from '../../src/manager/broker-client.ts';
import { judgeStep } from '../../src/manager/disks/job-output.ts';
import { defaultStepLimits, runStep } from '../../src/manager/disks/run-step.ts';
import { gatherTool, imageTool } from '../../src/manager/facts/tool.ts';
import { planDiskStep, type DiskStep } from '../../src/plan/disk-job.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { enterOwnNetwork } from '../support/network.ts';

const MiB = 1024 ** 2;
const [words, own] = ['qward-secret-77d1', 'written-by-the-guest'];

before(() => enterOwnNetwork());

const qemuImg = (...args: string[]): void => void execFileSync('qemu-img', args, { stdio: 'ignore' });

async function commit({ site }: TestBroker, step: DiskStep): Promise<string> {
  const tool = await gatherTool('/usr/bin/qemu-img', imageTool);
  assert.ok(tool.ok);
  const launch = planDiskStep(step, {
    machine: 'qward-disk-0123456789ab',
    tool: tool.value,
    virtualSize: MiB,
  });
  const broker = createBrokerClient({
    socketPath: site.paths.brokerSocket,
    connectForMs: 3000,
    deadlineMs: defaultDeadlinesMs,
  });
  const { signal } = new AbortController();
  const services = { broker, now: () => new Date(), limits: defaultStepLimits };
  const ended = await runStep(services, launch, { signal, onProgress: () => undefined });
  assert.ok(ended.ok, JSON.stringify(ended));
  const judged = judgeStep(step, ended.value, launch);
  return judged.ok ? 'done' : JSON.stringify(judged.faults);
}

test('a commit whose image names another file by then writes into the image that was given, or nothing', async () => {
  await using broker = await startTestBroker();
  const { images } = broker;
  const [top, base, secret] = ['top.qcow2', 'base.raw', 'secret'].map((name) => `${images}/${name}`) as [
    string,
    string,
    string,
  ];
  const step: DiskStep = {
    do: 'commit',
    image: {
      path: top,
      format: 'qcow2',
      claimant: null,
      backing: [{ path: base, format: 'raw', claimant: null }],
    },
  };
  const content = Buffer.alloc(MiB, words);
  const makes: Readonly<Record<string, readonly string[]>> = {
    'another backing file': ['-u', '-b', secret, '-F', 'raw'],
    'a backing file in JSON': [
      '-u',
      '-b',
      `json:{"driver":"raw","file":{"driver":"file","filename":"${secret}"}}`,
      '-F',
      'raw',
    ],
    'no backing file': [],
    'a data file': ['-o', `data_file=${secret},data_file_raw=on`],
  };
  for (const [what, options] of Object.entries(makes)) {
    writeFileSync(base, Buffer.alloc(MiB));
    writeFileSync(secret, content, { mode: 0o600 });
    qemuImg('create', '-q', '-f', 'qcow2', ...options, top, '1M');
    writeFileSync(`${images}/piece`, Buffer.alloc(65_536, own));
    qemuImg('convert', '-n', '-f', 'raw', '-O', 'qcow2', `${images}/piece`, top);
    // What was made just now wrote into it.
    writeFileSync(secret, content);
    const told = await commit(broker, step);
    assert.ok(!told.includes(words), `${what}: ${told}`);
    assert.ok(readFileSync(secret).equals(content), `${what}: the file is as it was`);
    const written = readFileSync(base);
    assert.ok(!written.includes(words), `${what}: nothing of the file came into the image`);
    if (what === 'a data file') assert.match(told, /No such file|Could not open/, what);
    else assert.deepEqual([told, written.includes(own)], ['done', true], what);
  }
  assert.deepEqual(traces(broker.site), []);
});
