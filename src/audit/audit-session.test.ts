/** The facts of a system instance's QEMU made into those of a session's: what the audit then expects, and what it must notice. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { WallName } from '../plan/launch-plan.ts';
import type { LaunchedMachine, ProcessFacts, Rootless } from '../protocol/broker.ts';
import { auditProcess } from './audit-process.ts';
import { expectedWalls, type FileIdentity } from './expected-walls.ts';
import type { AuditReport } from './report.ts';

const path = join(import.meta.dirname, '../../test/security/audit-recorded-facts.json');
const recorded = JSON.parse(readFileSync(path, 'utf8')) as {
  readonly launched: LaunchedMachine;
  readonly files: Readonly<Record<string, FileIdentity>>;
  readonly facts: ProcessFacts;
};
const rootless: Rootless = { groups: [106, 27, recorded.launched.gid], kvmGroup: 106 };
const { pids } = recorded.launched.launch.limits;

const node = (name: string): string => `90 67 0:6 /${name} /dev/${name} rw,relatime - devtmpfs devtmpfs rw\n`;

const good: ProcessFacts = {
  ...recorded.facts,
  namespaces: { ...recorded.facts.namespaces, user: 'user:[4026539999]' },
  mountinfo:
    recorded.facts.mountinfo.replace('/dev rw,nosuid,noexec', '/dev ro,nosuid,noexec') +
    ['null', 'zero', 'full', 'random', 'urandom', 'tty'].map(node).join(''),
  limits: recorded.facts.limits.replace(/^Max processes\s+\S+\s+\S+/m, `Max processes ${pids} ${pids}`),
};

const withGroups = (facts: ProcessFacts, groups: string): ProcessFacts => ({
  ...facts,
  threads: facts.threads.map(({ tid, status }) => ({
    tid,
    status: status.replace(/^Groups:.*$/m, `Groups:\t${groups}`),
  })),
});

function audit(facts: ProcessFacts): AuditReport {
  const expected = expectedWalls(
    { ...recorded.launched, rootless, runtime: 'runc', cgroup: '' },
    { files: recorded.files },
  );
  return auditProcess({ machine: 'web1', expected, facts, at: '2026-01-01T00:00:00Z' });
}

const verdicts = (report: AuditReport, verdict: string): WallName[] =>
  report.rows.flatMap((row) => (row.verdict === verdict ? [row.wall] : []));

test('a session’s jail passes; the walls that no user can have are missing, and not taken for walls', () => {
  const report = audit(good);
  assert.deepEqual(verdicts(report, 'differs'), []);
  assert.equal(report.ok, true);
  assert.deepEqual(
    verdicts(report, 'missing').filter((wall) => wall !== 'lsm'),
    ['cgroup', 'device-cgroup'],
  );
});

test('groups: none, the own and that of /dev/kvm are as planned, others of the user’s are missing, a stranger’s differs', () => {
  const own = recorded.launched.gid;
  for (const groups of ['', '106', `${own} 106`])
    assert.equal(
      audit(withGroups(good, groups)).rows.find(({ wall }) => wall === 'groups')?.verdict,
      'ok',
      groups,
    );
  const surplus = audit(withGroups(good, `27 106 ${own}`));
  const row = surplus.rows.find(({ wall }) => wall === 'groups');
  assert.equal(row?.verdict, 'missing');
  assert.match(row?.found ?? '', /^27 of yours/);
  assert.equal(surplus.ok, true);
  assert.deepEqual(verdicts(audit(withGroups(good, '28')), 'differs'), ['groups']);
});

test('what a session must have is missed where it is not there', () => {
  const breaks: readonly (readonly [WallName, ProcessFacts])[] = [
    ['user-namespace', { ...good, namespaces: recorded.facts.namespaces }],
    ['root', { ...good, mountinfo: good.mountinfo.replace('/dev ro,', '/dev rw,') }],
    ['root', { ...good, mountinfo: `${good.mountinfo}${node('sda')}` }],
    ['root', { ...good, mountinfo: `${good.mountinfo}${node('kvm')}` }],
    ['rlimits', { ...good, limits: recorded.facts.limits }],
  ];
  for (const [wall, facts] of breaks) assert.deepEqual(verdicts(audit(facts), 'differs'), [wall]);
});

test('the system’s audit takes nothing of it: no user namespace, no node of the host', () => {
  const expected = expectedWalls(recorded.launched, { files: recorded.files });
  const report = auditProcess({ machine: 'web1', expected, facts: good, at: '2026-01-01T00:00:00Z' });
  assert.deepEqual(verdicts(report, 'differs'), ['root', 'user-namespace']);
});
