/** What holds for every text and every definition, tried on many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { cloneDefinition, renameInDefinition } from './clone.ts';
import { formatFull } from './format-full.ts';
import { parseDefinition } from './parse.ts';
import { setInDefinition } from './set.ts';

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
const path = fc
  .array(fc.stringMatching(/^[a-zA-Z0-9_ ,=.ä-]{1,8}$/), { minLength: 1, maxLength: 3 })
  .map((parts) => `/${parts.map((part) => `x${part}`).join('/')}`);
const size = fc.oneof(
  fc.integer({ min: 8, max: 4096 }).map((mib) => `${mib}MiB`),
  fc.integer({ min: 8, max: 64 }).map((mib) => mib * 1024 ** 2),
);
const text = fc.string({
  unit: fc.constantFrom(...Array.from('abc :#-{}[]"\'&*!|>%@,\\=0ä')),
  maxLength: 20,
});
const optional = { requiredKeys: [] };

const backing = fc
  .uniqueArray(path, { maxLength: 3 })
  .map((paths) => paths.map((file) => ({ path: `${file}.base`, format: 'qcow2' })));
const disk = fc.record(
  {
    format: fc.constant('qcow2'),
    bus: fc.constantFrom('virtio', 'scsi', 'nvme'),
    readonly: fc.boolean(),
    cache: fc.constantFrom('none', 'writeback', 'writethrough', 'unsafe'),
    discard: fc.constantFrom('unmap', 'ignore'),
    limits: fc.record({ iops: fc.integer({ min: 1, max: 9999 }), bps: size }, optional),
    backing,
  },
  { requiredKeys: ['format'] },
);
const nic = fc.record(
  {
    kind: fc.constant('bridge'),
    bridge: fc.constantFrom('br0', 'lan.7'),
    model: fc.constantFrom('virtio', 'e1000e', 'rtl8139'),
  },
  { requiredKeys: ['kind', 'bridge'] },
);

/** A definition as a user may write it, without faults: ids and images are numbered, so that they differ. */
const written = fc.record(
  {
    name: word,
    description: text,
    tags: fc.uniqueArray(word, { maxLength: 3 }),
    accel: fc.constantFrom('auto', 'kvm', 'tcg'),
    cpu: fc.record(
      { model: fc.constantFrom('host', 'max'), count: fc.integer({ min: 1, max: 255 }) },
      optional,
    ),
    memory: size,
    firmware: fc.constantFrom('bios', 'uefi'),
    boot: fc.record({ kernel: path, cmdline: text, menu: fc.boolean() }, { requiredKeys: ['kernel'] }),
    disks: fc
      .array(disk, { maxLength: 3 })
      .map((disks) => disks.map((one, index) => ({ id: `disk${index}`, path: `/d${index}`, ...one }))),
    nics: fc
      .array(nic, { maxLength: 3 })
      .map((nics) =>
        nics.map((one, index) => ({ id: `nic${index}`, mac: `52:54:00:00:00:0${index}`, ...one })),
      ),
    vnc: fc.boolean(),
    stop: fc.record({ timeout: fc.integer({ min: 0, max: 9999 }).map((ms) => `${ms}ms`) }, optional),
    limits: fc.record(
      { cpuWeight: fc.integer({ min: 1, max: 10_000 }), cpuQuota: fc.constantFrom(0.05, 1.5, 3) },
      optional,
    ),
  },
  { requiredKeys: ['name'] },
);

/** The same as YAML in several ways, with a comment on every line that can have one. */
const source = fc
  .record({
    value: written,
    flow: fc.boolean(),
    indentSeq: fc.boolean(),
    quotes: fc.constantFrom('PLAIN' as const, 'QUOTE_DOUBLE' as const),
  })
  .map(({ value, flow, indentSeq, quotes }) => {
    const yaml = stringify(value, {
      lineWidth: 0,
      indentSeq,
      collectionStyle: flow ? 'flow' : 'any',
      defaultStringType: quotes,
      defaultKeyType: 'PLAIN',
    });
    if (flow) return `# above\n${yaml}# below\n`;
    return yaml
      .split('\n')
      .map((line, index) => (line === '' ? line : `${line} # comment ${index}`))
      .join('\n');
  });

const comments = (yaml: string): readonly string[] => yaml.match(/# (?:comment \d+|above|below)/g) ?? [];

/** The definition that the text means, without faults. */
function definitionOf(yaml: string) {
  const parsed = parseDefinition(yaml);
  assert.deepEqual(parsed.ok ? [] : parsed.faults, [], yaml);
  assert.ok(parsed.ok);
  return parsed.definition;
}

function assertFaultsAreComplete(yaml: string): void {
  const parsed = parseDefinition(yaml);
  if (parsed.ok) return;
  assert.ok(parsed.faults.length > 0);
  for (const { code, message, hint, line, column } of parsed.faults) {
    assert.equal(code, 'definition-invalid');
    assert.ok(message.length > 0 && message.length < 1000 && hint.length > 0, `${message} | ${hint}`);
    assert.doesNotMatch(message + hint, /[\u0000-\u001f\u007f]|undefined|\[object|Invalid input/);
    if (line !== undefined && column !== undefined) {
      const there = yaml.split('\n')[line - 1];
      assert.ok(
        there !== undefined && column >= 1 && column <= there.length + 1,
        `${line}:${column} is outside the text`,
      );
    }
  }
}

test('no text makes the parser throw, and every fault says where, what and how to mend it', () => {
  const yamlish = fc.array(
    fc.constantFrom(
      'name',
      'disks',
      'memory',
      ': ',
      ':',
      '- ',
      '\n',
      '\n  ',
      '\n    ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '"',
      "'",
      '|',
      '>',
      '&a',
      '*a',
      '!b',
      '#',
      '? ',
      '<<',
      '---',
      '...',
      '%',
      '@',
      '\t',
      '1',
      'true',
      '~',
      '\r',
      '\u2028',
      '\0',
      'x',
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        yamlish.map((parts) => parts.join('')),
      ),
      assertFaultsAreComplete,
    ),
    { numRuns: 400 },
  );
});

test('no structure makes the parser throw', () => {
  const key = fc.constantFrom(
    'name',
    'disks',
    'id',
    'path',
    'format',
    'cpu',
    'count',
    'memory',
    'nics',
    'kind',
    'boot',
    'order',
    'limits',
    'tags',
    'bps',
    'timeout',
    'stop',
    '__proto__',
    'constructor',
    'x',
  );
  const leaf = fc.oneof(
    fc.string(),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.constantFrom('raw', 'bridge', '1G', '/a', 'a'),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(key, tie('value'), { maxKeys: 5 }),
    ),
  }));
  fc.assert(
    fc.property(fc.dictionary(key, value, { maxKeys: 8 }), (structure) =>
      assertFaultsAreComplete(stringify(structure)),
    ),
    { numRuns: 150 },
  );
});

test('a definition with every default written out is the same definition', () => {
  fc.assert(
    fc.property(source, (yaml) => {
      const definition = definitionOf(yaml);
      const full = formatFull(definition);
      assert.deepEqual(definitionOf(full), definition);
      assert.equal(formatFull(definitionOf(full)), full);
    }),
    { numRuns: 40 },
  );
});

test('setting one key keeps every comment and every other value', () => {
  const change = fc.constantFrom(
    ...([
      ['memory', '3GiB', { memory: 3 * 1024 ** 3 }],
      ['vnc', 'true', { vnc: true }],
      ['description', 'a: "b" #c', { description: 'a: "b" #c' }],
      ['tags', 'x,y', { tags: ['x', 'y'] }],
    ] as const),
  );
  fc.assert(
    fc.property(source, change, (yaml, [key, value, expected]) => {
      const result = setInDefinition(yaml, [{ key, value }]);
      assert.ok(result.ok, JSON.stringify(result));
      assert.deepEqual(definitionOf(result.source), { ...definitionOf(yaml), ...expected });
      // A block list that is replaced as a whole takes its comments with it.
      if (key !== 'tags') assert.deepEqual(comments(result.source), comments(yaml));
    }),
    { numRuns: 40 },
  );
});

test('taking a key out takes its own lines out and nothing else', () => {
  fc.assert(
    fc.property(
      source,
      fc.constantFrom('memory', 'cpu', 'disks', 'nics.nic1', 'stop.timeout', 'boot.cmdline'),
      (yaml, key) => {
        const listed = definitionOf(yaml).nics.some(({ id }) => id === 'nic1');
        const result = setInDefinition(yaml, [{ key, value: null }]);
        if (key === 'nics.nic1' && !listed) return assert.equal(result.ok, false);
        assert.ok(result.ok, JSON.stringify(result));
        const kept = yaml.split('\n');
        if (!yaml.startsWith('# above'))
          assert.ok(
            result.source.split('\n').every((line) => kept.includes(line)),
            result.source,
          );
        definitionOf(result.source);
      },
    ),
    { numRuns: 40 },
  );
});

test('a renamed definition differs by its name alone, a clone also by images and addresses', () => {
  fc.assert(
    fc.property(source, word, (yaml, name) => {
      const before = definitionOf(yaml);
      const renamed = renameInDefinition(yaml, name);
      assert.ok(renamed.ok);
      assert.deepEqual(definitionOf(renamed.source), { ...before, name });
      assert.deepEqual(comments(renamed.source), comments(yaml));

      const diskPaths = Object.fromEntries(before.disks.map(({ id }) => [id, `/clone/${id}`]));
      const cloned = cloneDefinition(yaml, { name, diskPaths });
      assert.ok(cloned.ok, JSON.stringify(cloned));
      assert.deepEqual(definitionOf(cloned.source), {
        ...before,
        name,
        disks: before.disks.map((one) => ({ ...one, path: `/clone/${one.id}` })),
        nics: before.nics.map(({ mac: _mac, ...one }) => one),
      });
    }),
    { numRuns: 40 },
  );
});
