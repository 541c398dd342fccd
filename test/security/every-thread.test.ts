/**
 * Promise 5: every thread is looked at. A process with a filter and no_new_privs on its main thread, and neither on another
 * (CVE-2018-15746), does not pass; nor does one whose main thread has ended.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { auditForeign } from '../../src/audit/audit-process.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import type { WallName } from '../../src/plan/launch-plan.ts';

/** prctl(2): no_new_privs, and a filter of one instruction that allows everything, on the calling thread alone. */
const confine = `
  syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
  my $filter = pack('SCCL', 6, 0, 0, 0x7fff0000);
  my $program = pack('Sx6P', 1, $filter);
  syscall(157, 22, 2, $program, 0, 0) == 0 or die "filter: $!";`;
/** exit(2) of the calling thread alone; the process lives on in the other one. */
const leave = 'syscall(60, 0);';

const found = { seccomp: /^no filter \(thread \d+\)$/, 'no-new-privileges': /^not set \(thread \d+\)$/ };

/** perl with a second thread that came to be before, or after, the main thread did this. */
async function twoThreads(context: TestContext, first: string, then = ''): Promise<number> {
  const thread = 'threads->create(sub { sleep 600 });';
  const script = `use threads; $| = 1; ${first} ${thread} ${then.replace(leave, '')} print "ready\\n"; ${then.includes(leave) ? leave : ''} sleep 600;`;
  const child = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const [said] = (await once(createInterface(child.stdout), 'line')) as [string];
  assert.equal(said, 'ready');
  const pid = child.pid ?? assert.fail();
  while (then.includes(leave) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1')))
    await delay(2);
  return pid;
}

function verdicts(pid: number): Readonly<Record<keyof typeof found, string>> {
  const outcome = readProcessFacts(pid);
  if (!outcome.ok) assert.fail(outcome.reason);
  assert.equal(outcome.facts.threads.length, 2);
  const report = auditForeign({ facts: outcome.facts, at: new Date().toISOString() });
  const row = (wall: WallName): string => {
    const { verdict, found: seen } = report.rows.find((one) => one.wall === wall) ?? assert.fail(wall);
    return verdict === 'differs' ? seen : verdict;
  };
  return { seccomp: row('seccomp'), 'no-new-privileges': row('no-new-privileges') };
}

test('a thread from before the filter is found, and named', async (context) => {
  const seen = verdicts(await twoThreads(context, '', confine));
  for (const wall of ['seccomp', 'no-new-privileges'] as const) assert.match(seen[wall], found[wall], wall);
});

test('it is found behind a main thread that has ended', async (context) => {
  const pid = await twoThreads(context, '', `${confine} ${leave}`);
  const seen = verdicts(pid);
  for (const wall of ['seccomp', 'no-new-privileges'] as const) assert.notEqual(seen[wall], 'ok', wall);
});

test('a filter from before the threads is on each of them', async (context) => {
  const seen = verdicts(await twoThreads(context, confine));
  assert.deepEqual(seen, { seccomp: 'ok', 'no-new-privileges': 'ok' });
});
