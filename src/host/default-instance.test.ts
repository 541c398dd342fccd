import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { defaultInstance } from './default-instance.ts';

const shipped = readFileSync(join(resolve(import.meta.dirname, '../..'), 'resources/instances.json'), 'utf8');
const who = (uid: number, groups: readonly string[] = [], user = 'ann') => ({
  uid,
  user: () => user,
  groups: () => groups,
});

test('root always means the system instance, and everybody does where nothing is configured', () => {
  assert.equal(defaultInstance(who(0), '{"others": "session"}'), 'system');
  assert.equal(defaultInstance(who(1000), undefined), 'system');
});

test('what the package ships: the system for the two groups, the session for others', () => {
  assert.equal(defaultInstance(who(1000, ['users', 'qward-operators']), shipped), 'system');
  assert.equal(defaultInstance(who(1000, ['qward-admin']), shipped), 'system');
  assert.equal(defaultInstance(who(1000, ['users', 'kvm']), shipped), 'session');
});

test('users count by name; who is named nowhere has what others have', () => {
  const file = '{"system": {"users": ["ann"]}, "others": "session"}';
  assert.equal(defaultInstance(who(1000), file), 'system');
  assert.equal(defaultInstance(who(1000, [], 'ben'), file), 'session');
  assert.equal(defaultInstance(who(1000), '{"others": "system"}'), 'system');
});

test('a file with a fault decides nothing: the fault is told, with the way around it', () => {
  for (const [content, message] of [
    ['{', /no JSON/],
    ['{}', /others: missing/],
    ['{"others": "mine"}', /"system" or "session" expected/],
    ['{"others": "session", "sytem": {}}', /sytem: unknown key/],
    ['{"others": "session", "system": {"groups": ["a b"]}}', /system\.groups\[0\]/],
  ] as const)
    assert.throws(
      () => defaultInstance(who(1000), content),
      (error: Error) => message.test(error.message) && /--system or --session/.test(error.message),
      content,
    );
});
