import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxSourceBytes, scanYaml } from './scan-yaml.ts';

const messages = (text: string): readonly string[] => scanYaml(text).faults.map(({ message }) => message);

test('a text is limited in bytes, not characters', () => {
  assert.deepEqual(messages('#'.repeat(maxSourceBytes)), []);
  assert.deepEqual(messages('#'.repeat(maxSourceBytes + 1)), ['larger than 256 KiB']);
  assert.deepEqual(messages(`#${'ä'.repeat(maxSourceBytes / 2)}`), ['larger than 256 KiB']);
});

test('depth is limited, however it is written, before a tree is built', () => {
  const texts = ['[', '{', '{a: ', '[a, ', '- ', '? ', ': ', 'a: '].map((part) => part.repeat(20_000));
  const indented = Array.from({ length: 60 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n');
  for (const text of [...texts, indented]) {
    const scan = scanYaml(text);
    assert.equal(scan.fatal, true, text.slice(0, 20));
    assert.match(scan.faults.at(-1)?.message ?? '', /nested more than 32 deep/);
  }
});

test('length does not count as depth', () => {
  const lines = (text: string): string => text.repeat(200);
  for (const text of [
    lines('- a\n'),
    lines('a: b\n'),
    `[${lines('[], ')}]`,
    lines('a:\n- b\n- c\n'),
    lines('a:\n  b:\n    - c: d\n'),
  ])
    assert.deepEqual(messages(text), [], text.slice(0, 30));
});

test('the number of parts is limited', () => {
  assert.match(messages('-\n'.repeat(100_000)).join(''), /more than 60000 words and signs/);
});

test('anchors, aliases, tags, directives and second documents are refused, each at its place', () => {
  const text = '%YAML 1.1\n---\na: &x !!str b\nc: *x\n---\nd: e\n';
  assert.deepEqual(
    scanYaml(text).faults.map(({ offset, message }) => [
      text.slice(offset, offset + 3),
      message.split(' ')[0],
    ]),
    [
      ['%YA', 'directives'],
      ['&x ', 'anchors'],
      ['!!s', 'tags'],
      ['*x\n', 'aliases'],
      ['---', 'a'],
    ],
  );
});

test('the same signs within text and comments are nothing special', () => {
  assert.deepEqual(
    messages('---\na: "*x &y !z"\nb: x & y * z !\nc: |\n  *x\n  &y\n# *a &b !c\nd: [a&b, "*"]\n...\n'),
    [],
  );
});

test('control characters are refused where they stand', () => {
  for (const sign of ['\0', '\u001b', '\u007f', '\u0002', '\u001f', '\u009b']) {
    const scan = scanYaml(`a: b${sign}c`);
    assert.equal(scan.fatal, true);
    assert.equal(scan.faults[0]?.offset, 4);
  }
  assert.deepEqual(messages('a: b\r\nc:\td\r\n'), []);
});
