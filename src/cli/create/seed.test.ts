import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSshKey } from './ssh-key.ts';
import { isoImage } from '../../plan/iso9660.ts';
import { seedFiles, seedImage } from './seed.ts';

const at = new Date('2026-11-30T12:34:56Z');

test('an image has its label, its size, and each file where the directory says', () => {
  const data = Buffer.from('x'.repeat(5000));
  const image = isoImage(
    'cidata',
    [
      { name: 'meta-data', data: Buffer.alloc(0) },
      { name: 'user-data', data },
    ],
    at,
  );
  const volume = image.subarray(16 * 2048);
  assert.equal(volume.toString('latin1', 1, 6), 'CD001');
  assert.equal(volume.toString('latin1', 40, 72).trimEnd(), 'cidata');
  assert.equal(volume.readUInt32LE(80) * 2048, image.length);
  assert.equal(volume.readUInt8(881), 1);
  const name = image.indexOf('NM');
  assert.ok(name > 20 * 2048);
  assert.ok(image.includes('user-data'));
  assert.ok(image.subarray(21 * 2048, 21 * 2048 + 5000).equals(data));
});

test('names and labels that the format cannot hold are refused', () => {
  const file = (name: string) => ({ name, data: Buffer.alloc(1) });
  for (const name of ['', 'a/b', '..;', 'x'.repeat(65), 'a\n'])
    assert.throws(() => isoImage('cidata', [file(name)], at), /names of files/, name);
  assert.throws(() => isoImage('cidata', [file('a'), file('a')], at), /each once/);
  assert.throws(() => isoImage('no label', [file('a')], at), /is no label/);
});

test('what users type ends no value of the seed', () => {
  const hostKey = makeSshKey('web');
  const keys = ['ssh-ed25519 AAAA "},\n#cloud-config\nruncmd: [x]'];
  const files = seedFiles({ name: 'web', instanceId: 'i-1', keys, user: 'me', hostKey, runner: false, at });
  const [first, ...rest] = (files['user-data'] ?? '').split('\n');
  assert.equal(first, '#cloud-config');
  const parsed = JSON.parse(rest.join('\n')) as Record<string, unknown>;
  assert.deepEqual(parsed['ssh_authorized_keys'], keys);
  assert.deepEqual(parsed['user'], { name: 'me' });
  assert.equal(parsed['runcmd'], undefined);
  assert.ok(seedImage({ name: 'web', instanceId: 'i', keys, hostKey, runner: false, at }).length < 64 * 1024);
});

test('with a runner cloud-init starts it from the seed, and without one knows of none', () => {
  const options = { name: 'web', instanceId: 'i-1', keys: [], hostKey: makeSshKey('web'), at };
  const files = seedFiles({ ...options, runner: true });
  assert.match(files['user-data'] ?? '', /"bootcmd": \[[^\]]*LABEL=cidata[^\]]*start\.sh/);
  assert.match(files['runner.py'] ?? '', /^"""Runs commands for qward/);
  assert.doesNotMatch(Object.values(seedFiles({ ...options, runner: false })).join(), /runner|bootcmd/);
});
