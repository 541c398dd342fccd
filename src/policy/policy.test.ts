import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { defaultPolicy, parsePolicy, rootsAround, withoutComments } from './policy.ts';

test('an empty policy is the default one', () => {
  assert.deepEqual(parsePolicy('{}'), { ok: true, policy: defaultPolicy });
});

test('comments may stand anywhere outside strings', () => {
  const text = `{ // the range\n "uidRange": {"base": 200000, /* few */ "count": 10}, "bridges": ["br0"] }`;
  const outcome = parsePolicy(text);
  assert.ok(outcome.ok);
  assert.deepEqual(outcome.policy.uidRange, { base: 200_000, count: 10 });
  assert.deepEqual(outcome.policy.bridges, ['br0']);
  assert.equal(withoutComments('{"a": "// not a comment"}'), '{"a": "// not a comment"}');
});

test('every fault is told at once', () => {
  const outcome = parsePolicy(
    '{"bridge": [], "bridges": ["way-too-long-a-name"], "storageRoots": [{"path": "/a/../b", "access": "x"}], "uidRange": {"base": 0, "count": 1}}',
  );
  assert.ok(!outcome.ok);
  assert.equal(outcome.faults.length, 5);
  assert.match(outcome.faults.join('\n'), /unknown key "bridge"/);
});

test('ranges that reach nobody or the end of the uids are refused', () => {
  for (const range of ['{"base": 65000, "count": 1000}', '{"base": 4294967290, "count": 100}']) {
    assert.ok(!parsePolicy(`{"uidRange": ${range}}`).ok, range);
  }
});

test('no text makes the parser throw', () => {
  fc.assert(fc.property(fc.string(), (text) => typeof parsePolicy(text).ok === 'boolean'));
  fc.assert(fc.property(fc.json(), (text) => typeof parsePolicy(text).ok === 'boolean'));
});

test("storage roots around qward's own directories, or in them, are found", () => {
  const policyWith = (...paths: string[]) => ({
    ...defaultPolicy,
    storageRoots: paths.map((path) => ({ path, access: 'rw' as const })),
  });
  const own = ['/run/qward', '/var/lib/qward/broker'];
  assert.deepEqual(
    rootsAround(policyWith('/var', '/run/qward/x', '/var/lib/qward/broker', '/run', '/srv'), own),
    ['/var', '/run/qward/x', '/var/lib/qward/broker', '/run'],
  );
  assert.deepEqual(rootsAround(policyWith('/var/lib/qward/images', '/run/qward2', '/srv'), own), []);
});
