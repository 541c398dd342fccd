/** Jobs of image tools whose caller, manager or broker dies, and the walls around one that takes long. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { after, test } from 'node:test';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import { differingWalls } from '../../src/audit/report.ts';
import { describe } from '../../src/broker/requests/launch.ts';
import type { LaunchRecord } from '../../src/broker/records.ts';
import { isAlive } from '../../src/linux/process.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import { startInstance } from '../support/instance.ts';

const MiB = 1024 ** 2;
const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const { images, brokerRun, machines } = instance.paths;
const source = `${images}/source.raw`;
writeFileSync(source, Buffer.alloc(32 * MiB, 'qward'), { mode: 0o600 });

const jobs = (): string[] => readdirSync(machines).filter((name) => name.startsWith('qward-disk-'));
const parts = (): string[] => readdirSync(images).filter((name) => name.includes('.qward-disk-'));

async function until(what: string, is: () => boolean, timeoutMs = 30_000): Promise<void> {
  for (const giveUpAt = performance.now() + timeoutMs; !is(); await wait(20))
    assert.ok(performance.now() < giveUpAt, `not within ${timeoutMs} ms: ${what}`);
}

interface LongJob {
  readonly caller: ReturnType<typeof spawn>;
  readonly ended: Promise<unknown>;
  readonly record: LaunchRecord;
}

/** A convert that would take half a minute, at work. */
async function longJob(target: string): Promise<LongJob> {
  const [program = '', ...args] = instance.program;
  const words = ['disk', 'convert', source, target, '--rate', '1MiB'];
  const caller = spawn(program, [...args, ...words], { env: { ...instance.environment }, stdio: 'ignore' });
  const ended = once(caller, 'close');
  let record: LaunchRecord | undefined;
  await until('the job runs', () => {
    record = recordOf(jobs()[0]);
    return record !== undefined && record.phase === 'running';
  });
  assert.ok(record !== undefined);
  return { caller, ended, record };
}

function recordOf(job: string | undefined): LaunchRecord | undefined {
  if (job === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(`${brokerRun}/machines/${job}.json`, 'utf8')) as LaunchRecord;
  } catch {
    return undefined;
  }
}

async function nothingLeft({ record }: LongJob, target: string): Promise<void> {
  await until('the process has ended', () => !isAlive(record.pid, record.startTime));
  await until('its machine and its part are gone', () => jobs().length === 0 && parts().length === 0);
  assert.ok(!existsSync(target), 'nothing has the final name');
  const { mode, uid, size } = statSync(source);
  assert.deepEqual([mode & 0o777, uid, size], [0o600, 0, 32 * MiB]);
}

test('a long job has every wall of a machine, and ends with its caller', async () => {
  const target = `${images}/one.qcow2`;
  const job = await longJob(target);
  await wait(500);
  const facts = readProcessFacts(job.record.pid, { sharers: false });
  assert.ok(facts.ok, JSON.stringify(facts));
  const launched = describe(job.record);
  const report = auditProcess({
    machine: launched.machine,
    expected: expectedWalls(launched, { files: launched.files }),
    facts: facts.facts,
    at: '',
  });
  assert.ok(report.ok, differingWalls(report));
  assert.match(
    report.rows.find(({ wall }) => wall === 'guest-devices')?.found ?? '',
    /no guest, and arguments as planned/,
  );
  job.caller.kill('SIGINT');
  await job.ended;
  await nothingLeft(job, target);
});

test('a caller that is killed', async () => {
  const target = `${images}/two.qcow2`;
  const job = await longJob(target);
  job.caller.kill('SIGKILL');
  await nothingLeft(job, target);
});

test('a manager that is killed: the next one clears up', async () => {
  const target = `${images}/three.qcow2`;
  const job = await longJob(target);
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await job.ended;
  await instance.up();
  await nothingLeft(job, target);
});

test('a broker that is killed: the job ends as it would', async () => {
  const target = `${images}/four.qcow2`;
  const job = await longJob(target);
  process.kill(instance.daemon('broker'), 'SIGKILL');
  await instance.up();
  job.caller.kill('SIGINT');
  await job.ended;
  await nothingLeft(job, target);
});

test('both killed', async () => {
  const target = `${images}/five.qcow2`;
  const job = await longJob(target);
  for (const name of ['manager', 'broker'] as const) process.kill(instance.daemon(name), 'SIGKILL');
  await job.ended;
  await instance.up();
  await nothingLeft(job, target);
});
