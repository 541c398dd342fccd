import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLoaderList } from './library-closure.ts';
import { uniqueByTarget } from './qemu-modules.ts';
import { parseQemuVersion } from './qemu-version.ts';
import { targetInJail } from './system-path.ts';

test('libraries are read from what the loader prints, without vdso and loader', () => {
  const list = parseLoaderList(
    [
      '\tlinux-vdso.so.1 (0x00007f5bc782f000)',
      '\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f5bc77c8000)',
      '\tlibgone.so.2 => not found',
      '\tlibpart.so => /usr/lib/x86_64-linux-gnu/pulse/../part/libpart.so (0x00007f5bc77c8000)',
      '\t/usr/lib/private/libown.so (0x00007f5bc77c8000)',
      '\t/lib64/ld-linux-x86-64.so.2 (0x00007f5bc7831000)',
      '',
    ].join('\n'),
  );
  assert.deepEqual(list, {
    found: [
      { name: 'libz.so.1', path: '/lib/x86_64-linux-gnu/libz.so.1' },
      { name: 'libpart.so', path: '/usr/lib/x86_64-linux-gnu/part/libpart.so' },
      { name: '/usr/lib/private/libown.so', path: '/usr/lib/private/libown.so' },
    ],
    missing: ['libgone.so.2'],
  });
});

test('a program without libraries has an empty list', () => {
  assert.deepEqual(parseLoaderList('\tstatically linked\n'), { found: [], missing: [] });
});

test('libraries in /lib and /lib64 are shown beneath /usr, others where they are', () => {
  assert.equal(targetInJail('/lib/x86_64-linux-gnu/libz.so.1'), '/usr/lib/x86_64-linux-gnu/libz.so.1');
  assert.equal(targetInJail('/lib64/ld-linux-x86-64.so.2'), '/usr/lib64/ld-linux-x86-64.so.2');
  assert.equal(targetInJail('/usr/lib/x86_64-linux-gnu/a.so'), '/usr/lib/x86_64-linux-gnu/a.so');
  assert.equal(targetInJail('/library/a.so'), '/library/a.so');
});

test('each target is listed once, in order', () => {
  const paths = ['/usr/b', '/usr/a', '/usr/b'].map((target) => ({ source: target, target }));
  assert.deepEqual(
    uniqueByTarget(paths).map(({ target }) => target),
    ['/usr/a', '/usr/b'],
  );
});

test('versions are read from what QEMU prints, and from nothing else', () => {
  assert.deepEqual(parseQemuVersion('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright'), {
    major: 7,
    minor: 2,
    micro: 22,
  });
  for (const text of ['', 'QEMU emulator version 7.2', 'QEMU emulator version 7.2.99999', 'true 9.1.0'])
    assert.equal(parseQemuVersion(text), undefined, text);
});
