import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRequest } from '../protocol/launch.ts';
import { passtArguments } from '../protocol/passt.ts';
import { admitPasst } from './admit-passt.ts';
import { defaultPolicy } from './policy.ts';

const forward = { protocol: 'tcp', address: '127.0.0.1', port: 2222, to: 22 } as const;
const launch: LaunchRequest = {
  machine: 'qward-net-0123456789abcdef',
  program: 'passt',
  binary: '/usr/bin/passt',
  argv: passtArguments({ forwards: [forward], dns: ['192.0.2.1', '2001:db8::53'] }),
  env: {},
  descriptors: [{ kind: 'netdev', machine: 'web', socket: 'net0' }],
  devices: [],
  root: [],
  limits: { memory: 1, pids: 1, cpuWeight: 1, cpuQuota: null, ioWeight: 1, openFiles: 16, fileSize: 1 },
};
const refused = (change: Partial<LaunchRequest>): string =>
  admitPasst({ ...launch, ...change }, defaultPolicy)
    .map(({ message }) => message)
    .join('; ');

test('a user network as the manager asks for it is admitted', () => {
  assert.equal(refused({}), '');
  assert.equal(refused({ argv: passtArguments({ forwards: [], dns: [] }) }), '');
});

// SECURITY: promise 2. Whatever word is added, left out, changed or moved.
test('any other word is refused', () => {
  const { argv } = launch;
  const more = [
    '--pcap',
    '--log-file=/x',
    '--map-gw',
    '--runas',
    '--interface=eth0',
    '-t',
    '22',
    '--debug',
    '--',
    '',
    '--outbound=127.0.0.1',
  ];
  for (const word of more)
    for (const place of [0, 5, argv.length])
      assert.notEqual(refused({ argv: argv.toSpliced(place, 0, word) }), '', `${word} at ${place}`);
  for (let place = 0; place < argv.length; place += 1) {
    const without = refused({ argv: argv.toSpliced(place, 1) });
    assert.notEqual(without, '', `without ${argv[place]}`);
    assert.notEqual(refused({ argv: argv.with(place, `${argv[place]} `) }), '', `${argv[place]} changed`);
  }
  assert.notEqual(refused({ argv: argv.toReversed() }), '');
  assert.notEqual(refused({ argv: [...argv, ...argv] }), '');
});

test('ports and addresses beyond the policy are refused, in every form', () => {
  for (const value of [
    '0.0.0.0/2222:22',
    '::/2222:22',
    '127.0.0.1/1023:22',
    '127.0.0.1/22:22',
    '127.0.0.2/2222:22',
    '0:0:0:0:0:0:0:1/2222:22',
    '127.0.0.1%lo/2222:22',
    '127.0.0.1/2222-2223:22-23',
    '127.0.0.1/2222:22,80',
    '/2222:22',
    '2222:22',
    '127.0.0.1/02222:22',
    '127.0.0.1/2222:022',
    '127.0.0.1/65536:22',
    '127.0.0.1/99999:22',
    '127.0.0.1/2222:65536',
    'all',
    '~2222',
    '127.0.0.1/~2222',
  ])
    for (const option of ['--tcp-ports', '--udp-ports']) {
      const place = launch.argv.indexOf(option) + 1;
      assert.notEqual(refused({ argv: launch.argv.with(place, value) }), '', `${option} ${value}`);
    }
  const low = { ...defaultPolicy, forwards: [{ addresses: ['127.0.0.1'], from: 1, to: 1023, who: null }] };
  const argv = passtArguments({ forwards: [{ ...forward, port: 22 }], dns: [] });
  assert.deepEqual(admitPasst({ ...launch, argv }, low), []);
  assert.match(admitPasst(launch, low)[0]?.message ?? '', /tcp port 2222 of 127\.0\.0\.1 is not one/);
});

test('it gets one card and nothing else, under a name of its own, and no other program gets a card', () => {
  const [card] = launch.descriptors;
  assert.ok(card !== undefined);
  assert.notEqual(refused({ descriptors: [] }), '');
  assert.notEqual(refused({ descriptors: [card, card] }), '');
  assert.notEqual(refused({ descriptors: [card, { kind: 'tap', bridge: 'br0' }] }), '');
  assert.notEqual(refused({ descriptors: [{ kind: 'socket', name: 'qmp' }] }), '');
  assert.notEqual(refused({ env: { LD_PRELOAD: '/x' } }), '');
  assert.notEqual(refused({ devices: ['/dev/kvm'] }), '');
  assert.notEqual(refused({ machine: 'web' }), '');
  for (const program of ['qemu', 'qemu-img', 'drill', 'hook'] as const)
    assert.notEqual(refused({ program }), '', program);
});
