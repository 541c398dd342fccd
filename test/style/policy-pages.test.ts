/** The policy that is installed says what holds without it, and the page and the examples speak of the keys that there are. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parsePolicy } from '../../src/policy/parse-policy.ts';
import { findLines } from '../../src/policy/policy-lines.ts';
import { defaultPolicy } from '../../src/policy/policy.ts';
import { ownRules } from '../../src/protocol/rules.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('the installed policy is the default one, and has every key', () => {
  const text = read('resources/policy.json');
  assert.deepEqual(parsePolicy(text), { ok: true, policy: defaultPolicy });
  const lines = findLines(text);
  const lineOf = (key: string): number => lines.positionOf(key)?.line ?? 0;
  for (const key of Object.keys(defaultPolicy)) {
    assert.ok(lineOf(key) > 0, key);
    // A comment above each, or above the pair that it stands in.
    const above = text.split('\n').slice(lineOf(key) - 3, lineOf(key) - 1);
    assert.ok(
      above.some((line) => line.trim().startsWith('//')),
      key,
    );
  }
});

test('the page of the policy has every key, and its links lead somewhere', () => {
  const page = read('docs/policy.md');
  const keys = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, key]) => key);
  assert.deepEqual(keys, Object.keys(defaultPolicy));
  for (const key of Object.keys(defaultPolicy.ceilings)) assert.ok(page.includes(`\`${key}\``), key);
  const rules = [...page.matchAll(/^\| `([a-z]+-[a-z-]+)` \| (.*) \|$/gm)].map(([, rule, words]) => [
    rule,
    words,
  ]);
  assert.deepEqual(rules, Object.entries(ownRules));
  const links = [...page.matchAll(/\]\(([^)#]+)\)/g)].map(([, path = '']) => join('docs', path));
  assert.ok(links.length >= 5);
  for (const path of links) read(path);
});

test('every example is a policy', () => {
  const examples = readdirSync(join(root, 'resources/policies'));
  assert.equal(examples.length, 3);
  for (const name of examples) {
    const outcome = parsePolicy(read(`resources/policies/${name}`));
    assert.ok(outcome.ok, `${name}: ${JSON.stringify(outcome)}`);
    assert.ok(read('docs/policy.md').includes(`resources/policies/${name}`), name);
  }
});
