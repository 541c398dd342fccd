import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPolicy, rootsAround } from './policy.ts';

test("storage roots around qward's own directories, or in them, are found", () => {
  const policyWith = (...paths: string[]) => ({
    ...defaultPolicy,
    storageRoots: paths.map((path) => ({ path, access: 'rw' as const, who: null })),
  });
  const own = ['/run/qward', '/var/lib/qward/broker'];
  const keys = (...paths: string[]): string[] => rootsAround(policyWith(...paths), own).map(({ key }) => key);
  assert.deepEqual(keys('/var', '/run/qward/x', '/var/lib/qward/broker', '/run', '/srv'), [
    'storageRoots[0].path',
    'storageRoots[1].path',
    'storageRoots[2].path',
    'storageRoots[3].path',
  ]);
  assert.deepEqual(keys('/var/lib/qward/images', '/run/qward2', '/srv'), []);
});
