/**
 * Promise 5: no wall is missing unnoticed. Real QEMU in a real jail passes the audit, and each wall taken away from it
 * differs, alone and on the live process.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import type { AuditReport } from '../../src/audit/report.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import type { WallName } from '../../src/plan/launch-plan.ts';
import { bind, startJail, type JailChange } from './audit-jail.ts';

async function auditJail(change: JailChange = {}): Promise<AuditReport> {
  await using jail = await startJail(change);
  const { launched, files } = jail;
  const outcome = readProcessFacts(launched.pid, { sharers: true });
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.reason);
  const expected = expectedWalls(launched, { files });
  return auditProcess({
    machine: launched.machine,
    expected,
    facts: outcome.facts,
    at: new Date().toISOString(),
  });
}

const relaxations: Readonly<Record<string, readonly [wall: WallName, found: RegExp, change: JailChange]>> = {
  'uid 0': ['uid', /uid 0 0 0 0/, { config: ({ process }) => void (process.user.uid = 0) }],
  'a supplementary group': [
    'groups',
    /groups 104/,
    { config: ({ process }) => void process.user.additionalGids.push(104) },
  ],
  'a capability': [
    'capabilities',
    /CapEff: net_raw/,
    {
      config: ({ process }) => {
        for (const set of Object.values(process.capabilities)) set.push('CAP_NET_RAW');
      },
    },
  ],
  'no filter in the bundle': ['seccomp', /1 filter/, { config: ({ linux }) => void delete linux.seccomp }],
  'a directory of the host': [
    'root',
    /\/usr\/extra \(\/etc\) is not planned/,
    { config: ({ mounts }) => void mounts.push(bind('/etc', '/usr/extra')) },
  ],
  'a planned directory that can be written': [
    'root',
    /\/usr\/share\/qemu \(\/usr\/share\/qemu\) can be written/,
    {
      config: ({ mounts }) => {
        for (const mount of mounts)
          if (mount.destination === '/usr/share/qemu') mount.options = ['bind', 'rw'];
      },
    },
  ],
  'a device node': [
    'dev',
    /\/dev\/fuse \(char 10:229\)/,
    {
      config: ({ linux }) =>
        void linux.devices.push({ path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o666 }),
    },
  ],
  'every device in the cgroup': [
    'device-cgroup',
    /c 10:229 rw/,
    {
      config: ({ linux }) =>
        void linux.resources.devices.push({ allow: true, type: 'c', major: 10, minor: 229, access: 'rw' }),
    },
  ],
  'a higher limit of processes': [
    'cgroup',
    /pids\.max 200/,
    { config: ({ linux }) => void (linux.resources.pids.limit = 200) },
  ],
  'core files': [
    'rlimits',
    /max core file size 0, hard limit 4096/,
    {
      config: ({ process }) => {
        for (const limit of process.rlimits) if (limit.type === 'RLIMIT_CORE') limit.hard = 4096;
      },
    },
  ],
  'a file more': ['descriptors', /\/etc\/shadow was not planned/, { extraFiles: ['/etc/shadow'] }],
  'a directory more': ['descriptors', /: \/ was not planned/, { extraFiles: ['/'] }],
  'an argument more': [
    'guest-devices',
    /arguments other than those of the plan/,
    { config: ({ process }) => void process.args.push('-no-reboot') },
  ],
  "the host's processes": ['pid-namespace', /the host's/, withoutNamespace('pid')],
  "the host's IPC": ['ipc-namespace', /the host's/, withoutNamespace('ipc')],
  "the host's name": ['uts-namespace', /the host's/, withoutNamespace('uts')],
  "the host's cgroups": ['cgroup-namespace', /the host's/, withoutNamespace('cgroup')],
  "the host's network": ['network-namespace', /the host's/, withoutNamespace('network')],
};

function withoutNamespace(type: string): JailChange {
  return {
    config: (config) => {
      config.linux.namespaces = config.linux.namespaces.filter((one) => one.type !== type);
      // A host name needs a namespace of its own.
      if (type === 'uts') delete config['hostname'];
    },
  };
}

/** Walls that this host lacks whatever the jail: a security module. */
let lacking: readonly WallName[] = [];

before(async () => {
  const report = await auditJail();
  assert.deepEqual(
    report.rows.filter(({ verdict }) => verdict === 'differs'),
    [],
  );
  assert.equal(report.ok, true);
  lacking = report.rows.flatMap(({ wall, verdict }) => (verdict === 'missing' ? [wall] : []));
});

test('a jail with all walls passes; what the host lacks is named and is not mandatory', () => {
  assert.ok(
    lacking.every((wall) => wall === 'lsm' || wall === 'cgroup' || wall === 'device-cgroup'),
    lacking.join(', '),
  );
});

for (const [name, [wall, found, change]] of Object.entries(relaxations)) {
  test(`${name}: ${wall} differs, and no other wall does`, async () => {
    const report = await auditJail(change);
    const differing = report.rows.filter(({ verdict }) => verdict === 'differs');
    assert.deepEqual(
      differing.map((row) => row.wall),
      [wall],
      JSON.stringify(differing),
    );
    assert.match(differing[0]?.found ?? '', found);
    assert.equal(report.ok, false);
  });
}
