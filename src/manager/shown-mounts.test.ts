import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf } from '../plan/sample-facts.ts';
import { unsharedMounts } from './shown-mounts.ts';

const mountinfo = `1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw
2 1 8:2 / /srv rw - ext4 /dev/sdb rw
3 2 8:3 / /srv/with\\040space rw master:4 - ext4 /dev/sdc rw
`;

test('a file on a mount of which nothing spreads is told with that mount', () => {
  const definition = definitionOf(`name: a
confinement:
  files: [{path: /opt/a}, {path: /srv/b}, {path: /srv/with space/c}, {path: /srvx}]
`);
  assert.deepEqual(unsharedMounts([definition], mountinfo), [{ path: '/srv/b', point: '/srv' }]);
});
