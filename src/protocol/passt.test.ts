import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterRules, isClosedTo, passtArguments, readPasstArguments, type PasstSettings } from './passt.ts';

test('arguments say what they were made of', () => {
  for (const settings of [
    { forwards: [], dns: [] },
    { forwards: [], dns: ['192.0.2.1', 'fd00::53'] },
    {
      forwards: [
        { protocol: 'tcp', address: '127.0.0.1', port: 2222, to: 22 },
        { protocol: 'tcp', address: '::1', port: 8080, to: 80 },
        { protocol: 'udp', address: '0.0.0.0', port: 5353, to: 53 },
      ],
      dns: ['192.0.2.1'],
    },
  ] satisfies PasstSettings[]) {
    const argv = passtArguments(settings);
    assert.ok(argv.includes('--no-map-gw'));
    assert.deepEqual(readPasstArguments(argv), settings);
  }
});

test('a protocol without forwards is told so: else passt forwards UDP along with TCP', () => {
  const tcp = passtArguments({ forwards: [{ protocol: 'tcp', address: '::1', port: 1024, to: 1 }], dns: [] });
  assert.deepEqual(tcp.slice(-4), ['--tcp-ports', '::1/1024:1', '--udp-ports', 'none']);
});

const listing = (...ranges: { base: number; count: number }[]): string =>
  ['table inet qward {', ...filterRules(ranges).map((line) => `\t${line}`), '}', ''].join('\n');

test('a filter closes the host to the uids that it names', () => {
  const filter = listing({ base: 1000, count: 10 }, { base: 5000, count: 1 }).replace('5000-5000', '5000');
  for (const uid of [1000, 1009, 5000]) assert.ok(isClosedTo(uid, filter), String(uid));
  for (const uid of [0, 999, 1010, 4999, 5001]) assert.equal(isClosedTo(uid, filter), false, String(uid));
  assert.equal(isClosedTo(1000, ''), false);
});

test('a filter that lacks a rule, or has one more, closes nothing', () => {
  const filter = listing({ base: 1000, count: 10 });
  const lines = filter.split('\n');
  for (const [index, line] of lines.entries()) {
    if (line === '' || index === 0 || index === lines.length - 2) continue;
    assert.equal(isClosedTo(1000, lines.toSpliced(index, 1).join('\n')), false, `without ${line}`);
    assert.equal(
      isClosedTo(1000, lines.toSpliced(index, 0, 'accept').join('\n')),
      false,
      `accept before ${line}`,
    );
  }
});
