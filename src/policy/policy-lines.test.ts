import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findLines, positionOfRule, ruleText } from './policy-lines.ts';

const text = `// qward's policy
{
  /* "bridges": ["not this"] */
  "bridges": ["br0",
              "br1"],
  "ceilings": { "memory": "4GiB" },
  "storageRoots": [
    { "path": "/srv/vm", "access": "rw" },
    // images for all
    { "path": "/srv/iso", // "access": "rw"
      "access": "ro" }
  ]
}
`;

test('every key has its line and column', () => {
  const lines = findLines(text);
  assert.equal(lines.broken, undefined);
  assert.deepEqual(lines.twice, []);
  const at = (rule: string): string => {
    const found = positionOfRule(lines, rule);
    return found === undefined ? 'none' : `${found.line}:${found.column}`;
  };
  assert.deepEqual(
    ['bridges', 'bridges[0]', 'bridges[1]', 'ceilings.memory', 'storageRoots', 'storageRoots[1].access'].map(
      at,
    ),
    ['4:3', '4:15', '5:15', '6:17', '7:3', '11:7'],
  );
  // An item that does not say it, a key that has its default, a key that there is not.
  assert.deepEqual(['storageRoots[1].who', 'ceilings.pids', 'devices'].map(at), ['10:5', 'none', 'none']);
});

test('a rule is named with its line, or as the default', () => {
  const lines = findLines(text);
  assert.equal(
    ruleText('/etc/qward/policy.json', lines, 'storageRoots[1]'),
    '/etc/qward/policy.json line 10 (storageRoots[1])',
  );
  assert.equal(
    ruleText('/etc/qward/policy.json', lines, 'storageRoots[7]'),
    'default of /etc/qward/policy.json (storageRoots[7])',
  );
});

test('a key that stands twice, and the place where the text breaks', () => {
  assert.deepEqual(findLines('{"a": 1,\n "b": {"a": 2},\n "a": 3}').twice, [
    { key: 'a', position: { line: 3, column: 2 } },
  ]);
  const broken: readonly (readonly [string, number, number])[] = [
    ['', 1, 1],
    ['{\n "a": x}', 2, 7],
    ['{"a" 1}', 1, 6],
    ['{"a": 1,}', 1, 9],
    ['[1,]', 1, 4],
    ['{"a": 1}\n}', 2, 1],
    ['{"a": [1, 2}', 1, 12],
    ['{"a": "b\nc"}', 1, 7],
    ['{"a": 1', 1, 8],
  ];
  for (const [wrong, line, column] of broken)
    assert.deepEqual(findLines(wrong).broken, { line, column }, wrong);
});

test('what JSON takes is whole, and what it does not take is broken, for any text', () => {
  const takes = (json: string): boolean => {
    try {
      JSON.parse(json);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(fc.property(fc.json(), (json) => findLines(json).broken === undefined));
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"b"',
    '1',
    'true',
    ' ',
    '\n',
    '-',
    'x',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (words) => {
      const json = words.join('');
      return (findLines(json).broken === undefined) === takes(json);
    }),
    { numRuns: 5000 },
  );
});

test('deep nesting and a megabyte of it take no long time', () => {
  const begin = performance.now();
  findLines('['.repeat(200_000));
  findLines(`{"bridges": [${'"br0",'.repeat(100_000)}"br0"]}`);
  assert.ok(performance.now() - begin < 5_000);
});
