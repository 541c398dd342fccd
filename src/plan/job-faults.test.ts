import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageHeader } from './launch-plan.ts';
import { aloneFaults, chainFaults, sizeFaults } from './job-faults.ts';

const header = (
  format: ImageHeader['format'],
  ...references: ImageHeader['references'][number][]
): ImageHeader => ({
  format,
  virtualSize: 1,
  references,
  snapshots: 0,
});
const below = { kind: 'backing file', name: '/etc/shadow' } as const;
const web = { path: '/srv/web', format: 'qcow2', claimant: null } as const;
const base = { path: '/srv/base', format: 'raw', claimant: null } as const;
const codes = (faults: readonly { readonly code: string }[]): string =>
  faults.map(({ code }) => code).join(' ');

test('a header of another format is refused, also where a guest with a raw disk wrote it', () => {
  assert.equal(codes(aloneFaults(base, header('qcow2', below))), 'image-format');
  assert.equal(codes(aloneFaults(web, header('raw'))), 'image-format');
  assert.equal(codes(aloneFaults(base, header('luks'))), '');
  assert.equal(
    codes(aloneFaults({ ...web, format: 'vpc' }, header('raw'))),
    '',
    'a fixed VHD has its header at its end',
  );
});

test('an image that is to stand alone refers to nothing', () => {
  assert.equal(codes(aloneFaults(web, header('qcow2'))), '');
  for (const kind of ['backing file', 'data file', 'extent'] as const)
    assert.equal(codes(aloneFaults(web, header('qcow2', { kind, name: '' }))), 'image-references');
});

test('a chain is as the caller says and as the headers have it, or refused', () => {
  const headers = (top: ImageHeader) => (path: string) => (path === '/srv/web' ? top : header('raw'));
  const faults = (top: ImageHeader, backing: readonly (typeof base)[]): string =>
    codes(chainFaults({ ...web, backing }, headers(top)));
  assert.equal(faults(header('qcow2', below), [base]), '', 'the name in the header does not count');
  assert.equal(faults(header('qcow2', below), []), 'image-references');
  assert.equal(faults(header('qcow2'), [base]), 'image-references');
  assert.equal(faults(header('qcow2', below, { kind: 'data file', name: 'x' }), [base]), 'image-references');
});

test('names from headers are quoted and cut', () => {
  const [fault] = aloneFaults(
    web,
    header('qcow2', { kind: 'backing file', name: `\u202e"${'x'.repeat(500)}` }),
  );
  assert.ok((fault?.message.length ?? 0) < 320);
});

test('a size above the ceiling is refused with the rule', () => {
  assert.deepEqual(sizeFaults('/srv/web', 10, 10), []);
  assert.equal(sizeFaults('/srv/web', 11, 10)[0]?.rule, 'ceilings.fileSize');
});
