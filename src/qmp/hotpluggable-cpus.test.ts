import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCpuPlaces } from './hotpluggable-cpus.ts';

const place = (core: number, more: object = {}): unknown => ({
  type: 'max-x86_64-cpu',
  'vcpus-count': 1,
  props: { 'socket-id': 0, 'core-id': core, 'thread-id': 0 },
  ...more,
});

test('places of CPUs are told in the order in which the guest counts them, whether taken or not', () => {
  const places = parseCpuPlaces([
    place(10),
    place(2),
    place(0, { 'qom-path': '/machine/unattached/device[0]' }),
  ]);
  assert.deepEqual(
    places?.map(({ taken, device }) => [taken, device['core-id']]),
    [
      [true, 0],
      [false, 2],
      [false, 10],
    ],
  );
  assert.deepEqual(places?.[1]?.device, {
    driver: 'max-x86_64-cpu',
    'socket-id': 0,
    'core-id': 2,
    'thread-id': 0,
  });
});

test('what is no CPU, or no place, is not taken for one', () => {
  for (const wrong of [
    null,
    [place(0, { type: 'virtio-blk-pci' })],
    [place(0, { type: 'a,b-x86_64-cpu' })],
    [place(0, { props: { 'socket-id': -1 } })],
    [place(0, { props: { id: 1 } })],
    [place(0, { props: {} })],
    Array.from({ length: 256 }, (_, core) => place(core)),
  ])
    assert.equal(parseCpuPlaces(wrong), undefined, JSON.stringify(wrong)?.slice(0, 100));
});
