import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from './sample-facts.ts';

interface Device {
  readonly driver: string;
  readonly id?: string;
  readonly bus?: string;
  readonly addr?: string;
  readonly multifunction?: boolean;
}

function devices(yaml: string): readonly Device[] {
  const { argv } = planOf(yaml).launch;
  return argv.filter((_, index) => argv[index - 1] === '-device').map((text) => JSON.parse(text) as Device);
}

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `  - ${line(index)}\n`).join('');
const disks = (count: number, more = ''): string =>
  `disks:\n${lines(count, (n) => `{id: d${n}, path: /i/d${n}, format: raw, readonly: true${more}}`)}`;
const nics = (count: number): string =>
  `nics:\n${lines(count, (n) => `{id: n${n}, kind: bridge, bridge: br0}`)}`;

test('every device of a full board has a place of its own', () => {
  const full = `name: a\nvnc: true\nagent: true\n${disks(64)}${nics(32)}`;
  const places = devices(full)
    .filter((device) => device.addr !== undefined)
    .map((device) => device.addr);
  assert.equal(places.length, 64 + 32 + 5 + 4);
  assert.equal(new Set(places).size, places.length);
});

test('a slot with more than one function says so at its first', () => {
  const all = devices(`name: a\n${disks(40)}${nics(9)}`).filter((device) => device.addr !== undefined);
  for (const device of all.filter((each) => each.addr?.endsWith('.0') === false)) {
    const first = all.find((each) => each.addr === device.addr?.replace(/\.\d$/, '.0'));
    assert.equal(first?.multifunction, true, `${device.id} at ${device.addr}`);
  }
});

test('a card keeps its place when others are added', () => {
  const places = (count: number): unknown[] =>
    devices(`name: a\n${nics(count)}`)
      .filter((device) => device.id?.startsWith('n'))
      .map((device) => device.addr);
  assert.deepEqual(places(32).slice(0, 3), places(3));
});

test('disks stand in the order of the definition', () => {
  const places = devices(`name: a\n${disks(40)}`)
    .filter((device) => device.id?.startsWith('d'))
    .map((device) => device.addr ?? '');
  assert.deepEqual(places, places.toSorted());
});

test('microvm has places for 20 disks and cards beside its own devices', () => {
  const boot = 'boot: {kernel: /i/k}\n';
  const buses = devices(`name: a\nmachine: microvm\nagent: true\n${boot}${disks(12)}${nics(8)}`)
    .map((device) => device.bus ?? '')
    .filter((bus) => bus.startsWith('virtio-mmio-bus.'));
  assert.equal(buses.length, 23);
  assert.equal(new Set(buses).size, 23);
  for (const bus of buses) assert.ok(Number(bus.split('.')[1]) <= 23, bus);
});
