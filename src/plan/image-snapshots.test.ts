import assert from 'node:assert/strict';
import { test } from 'node:test';
import { snapshotFaults } from './image-snapshots.ts';

test('an image that says it has more than 1,024 snapshots is refused with the rule', () => {
  const image = { format: 'qcow2', virtualSize: 1, references: [] } as const;
  assert.deepEqual(snapshotFaults('/srv/web', { ...image, snapshots: 1024 }), []);
  assert.equal(snapshotFaults('/srv/web', { ...image, snapshots: 1025 })[0]?.rule, 'few-snapshots');
});
