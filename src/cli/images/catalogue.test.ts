import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCatalogue, readCatalogue } from './catalogue.ts';

const known = readCatalogue();
assert.ok(!('faults' in known));

test('the catalogue that comes with qward has the shape that is asked of others', () => {
  assert.deepEqual(
    known.map(({ name }) => name),
    ['debian-12', 'debian-13', 'ubuntu-24.04', 'fedora-43', 'alpine-3.23'],
  );
  for (const { url, checksums } of known) {
    assert.match(url, /^https:\/\/[a-z.-]+\/\S+\.(?:qcow2|img)$/);
    // Both are of one host: who could change the list could change the image.
    assert.equal(new URL(checksums).host, new URL(url).host);
  }
});

test('every fault of a catalogue is found at once', () => {
  const [good] = known;
  const parsed = parseCatalogue({
    images: [
      good,
      { ...good, name: '../x', url: 'file:///etc/shadow', checksums: 'http://example.org/SUMS' },
      { ...good, name: 'other', algorithm: 'md5', format: 'exe', user: '-x', memory: 'much', more: 1 },
      7,
      good,
    ],
  });
  assert.ok('wrong' in parsed);
  assert.deepEqual(
    parsed.wrong.map((line) => line.replace(/ .*/, '')),
    [
      'images[1]:',
      'images[1]:',
      'images[1]:',
      ...Array<string>(5).fill('images[2]:'),
      'images[3]:',
      '"debian-12"',
    ],
  );
});

test('what is no catalogue is refused', () => {
  for (const data of [null, [], {}, { images: {} }, { images: Array.from({ length: 1001 }, () => known[0]) }])
    assert.ok('wrong' in parseCatalogue(data));
});
