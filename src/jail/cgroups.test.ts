import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCgroupMounts } from './cgroups.ts';

const line = (path: string, type: string): string =>
  `31 23 0:28 / ${path} rw,relatime - ${type} ${type} rw,memory`;

test('hosts with v1, v2 and both are told apart', () => {
  assert.equal(parseCgroupMounts(line('/sys/fs/cgroup', 'cgroup2')).layout, 'v2');
  assert.equal(parseCgroupMounts(line('/sys/fs/cgroup/memory', 'cgroup')).layout, 'v1');
  const hybrid = parseCgroupMounts(
    [
      line('/sys/fs/cgroup/memory', 'cgroup'),
      line('/sys/fs/cgroup/unified', 'cgroup2'),
      line('/tmp', 'tmpfs'),
    ].join('\n'),
  );
  assert.equal(hybrid.layout, 'hybrid');
  assert.deepEqual(hybrid.mounts, [
    { path: '/sys/fs/cgroup/memory', v2: false },
    { path: '/sys/fs/cgroup/unified', v2: true },
  ]);
});
