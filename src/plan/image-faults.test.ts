import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainNotes, fileFaults } from './image-faults.ts';
import type { FileFacts, ImageHeader } from './launch-plan.ts';
import { definitionOf, fileOf, sampleFacts } from './sample-facts.ts';

function faultsOf(yaml: string, files: Record<string, FileFacts>): readonly (readonly [string, string])[] {
  const definition = definitionOf(yaml);
  const facts = sampleFacts(definition);
  const faults = fileFaults(definition, { ...facts, files: { ...facts.files, ...files } });
  return faults.map((fault) => [fault.code, (fault.path ?? []).join('.')]);
}

const disk = (format: string, more = ''): string =>
  `name: a\ndisks: [{id: d, path: /i/d, format: ${format}${more}}]`;
const backed = (name: string): Partial<ImageHeader> => ({
  format: 'qcow2',
  references: [{ kind: 'backing file', name }],
});

test('an image of another format than declared is refused, both ways', () => {
  for (const format of ['qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed'] as const)
    assert.deepEqual(faultsOf(disk('raw'), { '/i/d': fileOf({ format }) }), [
      ['image-format', 'disks.0.format'],
    ]);
  for (const format of ['raw', 'vmdk', 'luks', 'iso'] as const)
    assert.deepEqual(faultsOf(disk('qcow2'), { '/i/d': fileOf({ format }) }), [
      ['image-format', 'disks.0.format'],
    ]);
});

test("a raw image may hold a guest's own encryption or disc", () => {
  for (const format of ['raw', 'luks', 'iso'] as const)
    assert.deepEqual(faultsOf(disk('raw'), { '/i/d': fileOf({ format }) }), []);
});

test('a backing file that the definition does not list is refused', () => {
  assert.deepEqual(faultsOf(disk('qcow2'), { '/i/d': fileOf(backed('/etc/shadow')) }), [
    ['image-references', 'disks.0.backing'],
  ]);
});

test('so is one deeper in the chain, and a chain that goes on where the images end', () => {
  const chain = disk('qcow2', ', backing: [{path: /i/b, format: qcow2}]');
  assert.deepEqual(faultsOf(chain, { '/i/b': fileOf(backed('c')) }), [
    ['image-references', 'disks.0.backing'],
  ]);
  assert.deepEqual(faultsOf(chain, { '/i/d': fileOf({ format: 'qcow2' }) }), [
    ['image-references', 'disks.0.backing'],
  ]);
  assert.deepEqual(faultsOf(chain, {}), []);
});

test('an external data file is refused whatever the definition lists', () => {
  const image = { format: 'qcow2', references: [{ kind: 'data file', name: '/etc/shadow' }] } as const;
  assert.deepEqual(faultsOf(disk('qcow2'), { '/i/d': fileOf(image) }), [
    ['image-references', 'disks.0.format'],
  ]);
});

test('more than 1,024 snapshots within an image are refused, at any place of a chain and in the variable store', () => {
  const many = (snapshots: number, more: Partial<ImageHeader> = {}): FileFacts =>
    fileOf({ format: 'qcow2', snapshots, ...more });
  assert.deepEqual(faultsOf(disk('qcow2'), { '/i/d': many(1024) }), []);
  assert.deepEqual(faultsOf(disk('qcow2'), { '/i/d': many(1025) }), [['policy-refused', 'disks.0.format']]);
  const chain = disk('qcow2', ', backing: [{path: /i/b, format: qcow2}]');
  assert.deepEqual(faultsOf(chain, { '/i/b': many(65_536) }), [
    ['policy-refused', 'disks.0.backing.0.format'],
  ]);
  const store = { '/var/lib/qward/vars/a.qcow2': many(1025) };
  assert.deepEqual(faultsOf('name: a\nfirmware: uefi', store), [['policy-refused', 'firmware']]);
});

test('a disc in a drive is a raw image', () => {
  const yaml = 'name: a\ncdroms: [{id: c, path: /i/c}]';
  assert.deepEqual(faultsOf(yaml, { '/i/c': fileOf({ format: 'qcow2' }) }), [
    ['image-format', 'cdroms.0.path'],
  ]);
  assert.deepEqual(faultsOf(yaml, { '/i/c': fileOf({ format: 'iso' }) }), []);
});

test('a variable store that is not there yet is no fault, a raw one is', () => {
  const yaml = 'name: a\nfirmware: uefi';
  const definition = definitionOf(yaml);
  assert.deepEqual(fileFaults(definition, sampleFacts(definition, { files: {} })), []);
  assert.deepEqual(faultsOf(yaml, { '/var/lib/qward/vars/a.qcow2': fileOf() }), [
    ['image-format', 'firmware'],
  ]);
});

test('a chain that differs from the names in the headers is noted', () => {
  const definition = definitionOf(disk('qcow2', ', backing: [{path: /i/b, format: raw}]'));
  const notes = (name: string): readonly string[] =>
    chainNotes(definition, { '/i/d': fileOf(backed(name)), '/i/b': fileOf() });
  assert.deepEqual(notes('b'), []);
  assert.deepEqual(notes('../old/b'), []);
  assert.match(notes('other')[0] ?? '', /"other".*"\/i\/b"/);
});

test('text from a header is quoted and cut', () => {
  const definition = definitionOf(disk('qcow2'));
  const files = { '/i/d': fileOf(backed(`"\n${'x'.repeat(1000)}`)) };
  const [fault] = fileFaults(definition, sampleFacts(definition, { files }));
  assert.ok(fault !== undefined && fault.message.length < 400);
  assert.match(fault.message, /"\\"\\n/);
});
