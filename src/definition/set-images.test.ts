import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDiskImages, type DiskImages } from './set-images.ts';

const base = `# mine
name: web
disks:
  - id: data # first
    path: /a/data.raw
    format: raw
  - id: root
    path: /a/root.qcow2 # here
    format: qcow2
    cache: none
`;

function changed(source: string, id: string, images: DiskImages): string {
  const outcome = setDiskImages(source, id, images);
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome.source;
}

test('another image takes the place of one, and every comment stays', () => {
  const text = changed(base, 'root', { path: '/b/new.raw', format: 'raw', backing: [] });
  assert.equal(text, base.replace('/a/root.qcow2', '/b/new.raw').replace('format: qcow2', 'format: raw'));
});

test('a chain comes, grows, and goes again', () => {
  const below = { path: '/a/root.qcow2', format: 'qcow2' } as const;
  const one = changed(base, 'root', { path: '/a/one.qcow2', format: 'qcow2', backing: [below] });
  assert.match(one, /backing: \[\{"path":"\/a\/root.qcow2","format":"qcow2"\}\]/);
  const two = changed(one, 'root', {
    path: '/a/two.qcow2',
    format: 'qcow2',
    backing: [{ path: '/a/one.qcow2', format: 'qcow2' }, below],
  });
  assert.match(two, /one\.qcow2.*root\.qcow2/);
  assert.equal(changed(two, 'root', { ...below, backing: [] }), base);
});

test('a chain that is written as a block is replaced, in a list between brackets too', () => {
  const block = `${base}    backing:\n      - path: /a/x.qcow2\n        format: qcow2 # base\n    discard: ignore\n`;
  assert.equal(
    changed(block, 'root', { path: '/a/root.qcow2', format: 'qcow2', backing: [] }),
    `${base}    discard: ignore\n`,
  );
  const flow = 'name: web\ndisks: [{id: root, path: /a/b.qcow2, format: qcow2}]\n';
  const below = { path: '/a/b.qcow2', format: 'qcow2' } as const;
  const up = changed(flow, 'root', { path: '/a/c.qcow2', format: 'qcow2', backing: [below] });
  assert.equal(changed(up, 'root', { ...below, backing: [] }), flow);
});

test('a disk that is not there is told', () => {
  const outcome = setDiskImages(base, 'never', { path: '/a', format: 'raw', backing: [] });
  assert.ok(!outcome.ok);
  assert.match(outcome.faults[0]?.message ?? '', /no such disk/);
});
