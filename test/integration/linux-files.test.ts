/** Opening beneath a root, as root, against everything that could lead elsewhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { after, test } from 'node:test';
import { openRegularBeneath, sealedCopy } from '../../src/linux/descriptors.ts';
import { startSwapper } from '../support/swapper.ts';

const root = mkdtempSync('/tmp/qward-files-');
after(() => rmSync(root, { recursive: true }));
mkdirSync(`${root}/dir`);
writeFileSync(`${root}/dir/disk`, 'content', { mode: 0o600 });
symlinkSync('/etc', `${root}/link`);
symlinkSync('dir', `${root}/near`);
symlinkSync('disk', `${root}/dir/other`);
execFileSync('mkfifo', [`${root}/dir/fifo`]);

function codeOf(path: string): unknown {
  try {
    closeSync(openRegularBeneath(root, path, 'ro').fd);
    return 'opened';
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}

test('a plain file is opened with the access that was asked for', () => {
  const { fd, stats } = openRegularBeneath(root, 'dir/disk', 'ro');
  assert.equal(stats.size, 7);
  assert.throws(() => writeSync(fd, 'x'), { code: 'EBADF' });
  closeSync(fd);
});

test('links, escapes, directories, FIFOs and missing files are refused and told apart', () => {
  assert.equal(codeOf('link/shadow'), 'ELOOP');
  assert.equal(codeOf('near/disk'), 'ELOOP');
  assert.equal(codeOf('dir/other'), 'ELOOP');
  assert.equal(codeOf('../../etc/shadow'), 'EXDEV');
  assert.equal(codeOf('dir'), 'ENOTREG');
  assert.equal(codeOf('dir/fifo'), 'ENOTREG');
  assert.equal(codeOf('dir/none'), 'ENOENT');
});

test('a root that is a link itself is refused', () => {
  assert.throws(() => openRegularBeneath(`${root}/near`, 'disk', 'ro'), { code: 'ELOOP' });
});

test('a directory, and a file, that is swapped for a link all the time never leads out', async () => {
  writeFileSync(`${root}/dir/shadow`, 'mine');
  symlinkSync('/etc', `${root}/way`);
  symlinkSync('/etc/shadow', `${root}/trap`);
  mkdirSync(`${root}/real`);
  linkSync(`${root}/dir/shadow`, `${root}/real/shadow`);
  linkSync(`${root}/dir/shadow`, `${root}/plain`);
  for (const [one, other, path] of [
    ['real', 'way', 'real/shadow'],
    ['plain', 'trap', 'plain'],
  ] as const) {
    await using swapper = await startSwapper(`${root}/${one}`, `${root}/${other}`);
    const counts = { opened: 0, refused: 0 };
    for (let round = 0; round < 100_000; round += 1) {
      try {
        const { fd } = openRegularBeneath(root, path, 'ro');
        assert.equal(readFileSync(fd, 'utf8'), 'mine');
        closeSync(fd);
        counts.opened += 1;
      } catch (error) {
        assert.equal(error instanceof Error && 'code' in error && error.code, 'ELOOP');
        counts.refused += 1;
      }
    }
    assert.ok(swapper.goesOn());
    assert.ok(counts.opened > 1000 && counts.refused > 1000, JSON.stringify(counts));
  }
});

test('a sealed copy can be read and never written', () => {
  const { fd } = openRegularBeneath(root, 'dir/disk', 'ro');
  const copy = sealedCopy(fd, 'kernel', 1024);
  assert.equal(readFileSync(`/proc/self/fd/${copy}`, 'utf8'), 'content');
  assert.throws(() => writeSync(copy, 'x'), { code: 'EPERM' });
  assert.throws(() => sealedCopy(fd, 'kernel', 3), RangeError);
  closeSync(copy);
  closeSync(fd);
});
