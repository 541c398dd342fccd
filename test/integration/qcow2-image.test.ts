/** The images that qward writes, in the eyes of QEMU's own tools. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeQcow2 } from '../../src/plan/qcow2-image.ts';

const qemuImg = (...args: string[]): string =>
  execFileSync('qemu-img', args, { encoding: 'utf8', timeout: 20_000 });

for (const length of [0, 512, 540_672, 65_536, 70_000, 3 * 1024 ** 2])
  test(`an image of ${length} bytes is sound and holds what was given`, (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'qward-qcow2-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const [image, copy] = [join(directory, 'image.qcow2'), join(directory, 'copy.raw')];
    const content = Buffer.alloc(length);
    for (let index = 0; index < length; index++) content[index] = (index * 31 + (index >> 8)) & 0xff;
    writeFileSync(image, writeQcow2(content));
    assert.match(qemuImg('check', '-f', 'qcow2', image), /No errors were found/);
    const info = JSON.parse(qemuImg('info', '--output=json', '-f', 'qcow2', image)) as {
      'virtual-size': number;
    };
    assert.equal(info['virtual-size'], Math.ceil(length / 512) * 512);
    qemuImg('convert', '-f', 'qcow2', '-O', 'raw', image, copy);
    const found = readFileSync(copy);
    assert.ok(found.subarray(0, length).equals(content));
    assert.ok(found.subarray(length).every((byte) => byte === 0));
  });

test('an image that was written can be written to and stays sound', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-qcow2-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const image = join(directory, 'image.qcow2');
  writeFileSync(image, writeQcow2(Buffer.alloc(540_672, 0xff)));
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 4096 8192', image], { timeout: 20_000 });
  assert.match(qemuImg('check', '-f', 'qcow2', image), /No errors were found/);
});
