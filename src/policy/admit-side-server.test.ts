import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRequest } from '../protocol/launch.ts';
import { swtpmArguments } from '../protocol/side-servers.ts';
import { admitSideServer } from './admit-side-server.ts';

const path = '/var/lib/qward/vars/web.tpm';
const launch: LaunchRequest = {
  machine: 'qward-tpm-0123456789abcdef',
  program: 'swtpm',
  binary: '/usr/bin/swtpm',
  argv: swtpmArguments(path),
  env: {},
  descriptors: [{ kind: 'netdev', machine: 'web', socket: 'tpm' }],
  devices: [],
  root: [],
  shown: [{ kind: 'state', path, access: 'rw', claimant: null }],
  limits: { memory: 1, pids: 1, cpuWeight: 1, cpuQuota: null, ioWeight: 1, openFiles: 16, fileSize: 1 },
};
const refused = (change: Partial<LaunchRequest>): boolean =>
  admitSideServer({ ...launch, ...change }).length > 0;

test('a TPM as the manager asks for it is admitted', () => {
  assert.equal(refused({}), false);
});

// SECURITY: promise 2. Whatever word is added, left out, changed or moved.
test('any other word is refused', () => {
  const { argv } = launch;
  for (const word of ['--pid', '--log', 'file=/x', '--runas', 'root', '--daemon', '--key', '--', ''])
    for (const place of [0, 3, argv.length])
      assert.ok(refused({ argv: argv.toSpliced(place, 0, word) }), word);
  for (let place = 0; place < argv.length; place += 1) {
    assert.ok(refused({ argv: argv.toSpliced(place, 1) }), `without ${argv[place]}`);
    assert.ok(refused({ argv: argv.with(place, `${argv[place]} `) }), `${argv[place]} changed`);
  }
  assert.ok(refused({ argv: argv.toReversed() }));
});

test('no other program has the state of a TPM', () => {
  assert.ok(refused({ program: 'qemu' }));
  assert.ok(refused({ program: 'virtiofsd' }));
  assert.ok(refused({ program: 'qemu', shown: [] }));
  assert.ok(
    refused({
      program: 'passt',
      shown: [],
      descriptors: [{ kind: 'netdev', machine: 'web', socket: 'share' }],
    }),
  );
  assert.equal(refused({ program: 'qemu', shown: [], descriptors: [] }), false);
});
