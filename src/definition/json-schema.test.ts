import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionKeys } from './definition-keys.ts';
import { definitionJsonSchema } from './json-schema.ts';

test('only the name must be given, and unknown keys are refused', () => {
  const schema = definitionJsonSchema();
  assert.deepEqual([schema.required, schema.additionalProperties], [['name'], false]);
});

test('every key tells editors what it means', () => {
  const silent = definitionKeys().filter(({ schema }) => (schema.description ?? '') === '');
  assert.deepEqual(
    silent.map(({ key }) => key),
    [],
  );
});

test('keys are listed with their groups, choices and lists included', () => {
  const keys = definitionKeys().map(({ key }) => key);
  for (const key of [
    'memory',
    'cpu.count',
    'disks',
    'disks[].limits.bps',
    'disks[].backing[].path',
    'nics[].bridge',
    'stop.timeout',
  ])
    assert.ok(keys.includes(key), key);
  assert.equal(new Set(keys).size, keys.length);
});

test('sizes are shown as people write them', () => {
  const memory = definitionKeys().find(({ key }) => key === 'memory')?.schema;
  assert.deepEqual([memory?.default, memory?.title], ['1GiB', 'size']);
});
