/** Files that are made from others are what scripts/generate.ts would write now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generatedFiles, staleFiles } from '../../scripts/generate.ts';

test('generated files are up to date', async () => {
  assert.ok(generatedFiles.length > 0);
  assert.deepEqual(await staleFiles(), [], 'run "node scripts/generate.ts"');
});
