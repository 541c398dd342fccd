/** The policy's file as broker and manager read it: who can have written it, when it changed, and what of it a person is told. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { checkPolicy } from '../../src/host/check-policy.ts';
import { readOwnFile } from '../../src/linux/own-file.ts';
import { createPolicySource } from '../../src/manager/policy-source.ts';
import { maxPolicyBytes, readPolicy } from '../../src/policy/read-policy.ts';

function place(): { readonly directory: string; readonly file: string } & Disposable {
  const directory = mkdtempSync(join(tmpdir(), 'qward-policy-'));
  return {
    directory,
    file: join(directory, 'policy.json'),
    [Symbol.dispose]: () => {
      rmSync(directory, { recursive: true });
    },
  };
}

const write = (file: string, value: unknown): void => {
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value), { mode: 0o644 });
};

test('a policy that others than root can have written is refused, with everything that is wrong and the cure', () => {
  using at = place();
  const faults = (): string => {
    const outcome = readPolicy(at.file, readOwnFile(at.file, maxPolicyBytes), []);
    return outcome.ok ? '' : outcome.refusals.map(({ message, hint }) => `${message} (${hint})`).join('\n');
  };
  assert.equal(faults(), '');
  write(at.file, {});
  assert.equal(faults(), '');
  for (const mode of [0o646, 0o664, 0o666]) {
    chmodSync(at.file, mode);
    assert.match(faults(), /others than root can write it \(chmod 0644 /, mode.toString(8));
  }
  chownSync(at.file, 12_345, 12_345);
  assert.match(
    faults(),
    /belongs to uid 12345, not to root \(chown root .*\n.*others than root can write it/,
  );
  chownSync(at.file, 0, 0);
  chmodSync(at.file, 0o644);
  symlinkSync(at.file, `${at.file}.link`);
  const link = readOwnFile(`${at.file}.link`, maxPolicyBytes);
  assert.ok(!link.ok);
  assert.match(link.faults[0]?.message ?? '', /symbolic link/);
  for (const other of [at.directory, '/dev/null']) assert.equal(readOwnFile(other, maxPolicyBytes).ok, false);
  write(at.file, `{}${' '.repeat(maxPolicyBytes)}`);
  assert.match(faults(), /larger than 1048576 bytes/);
});

test("no storage root holds qward's own state, or lies in it", () => {
  using at = place();
  write(at.file, {
    storageRoots: [
      { path: '/srv', access: 'rw' },
      { path: '/var/lib', access: 'ro' },
    ],
  });
  const outcome = readPolicy(at.file, readOwnFile(at.file, maxPolicyBytes), ['/var/lib/qward/broker']);
  assert.ok(!outcome.ok);
  assert.deepEqual(
    outcome.refusals.map(({ rule }) => rule),
    ['storageRoots[1].path'],
  );
});

test('the manager sees each change at once, and the same object where there was none', async () => {
  using at = place();
  const source = createPolicySource(at.file, []);
  const bridges = (): readonly string[] => {
    const current = source.current();
    return current.ok ? current.value.bridges.map(({ bridge }) => bridge) : ['faulty'];
  };
  assert.deepEqual(bridges(), []);
  // The same size, inode and, where a test is quick, time stamps: each is seen all the same.
  for (let round = 0; round < 200; round++) {
    const bridge = `br${round % 10}`;
    write(at.file, { bridges: [bridge] });
    if (round % 3 === 0) utimesSync(at.file, 1, 1);
    assert.deepEqual(bridges(), [bridge], String(round));
  }
  await wait(100);
  const before = source.current();
  assert.equal(source.current(), before);
  lutimesSync(at.file, 2, 2);
  assert.equal(source.current(), before);
  assert.ok(statSync(at.file).size > 0);
  unlinkSync(at.file);
  assert.deepEqual(bridges(), []);
});

test('while the policy is faulty nothing is admitted, and roles are those of the last good one', () => {
  using at = place();
  write(at.file, { groups: { administrators: 'wheel' }, operate: 'granted' });
  const source = createPolicySource(at.file, []);
  assert.equal(source.roles().groups.administrators, 'wheel');
  write(at.file, '{ "groups": ');
  assert.equal(source.current().ok, false);
  assert.equal(source.roles().groups.administrators, 'wheel');
  // A manager that begins with a faulty one does not fall back on groups that the administrator may have replaced.
  const other = createPolicySource(at.file, []);
  assert.deepEqual(other.roles().groups, { operators: '', administrators: '' });
  assert.deepEqual([other.roles().operate, other.roles().define.groups], ['granted', []]);
});

test('a refusal has the place of its rule', () => {
  using at = place();
  write(at.file, '{\n  "storageRoots": [\n    { "path": "/srv", "access": "ro" }\n  ]\n}\n');
  const source = createPolicySource(at.file, []);
  const placeOf = (rule: string): string | undefined =>
    source.placed({ code: 'policy-refused', message: '', hint: '', rule }).ruleAt;
  assert.equal(placeOf('storageRoots[0]'), `${at.file} line 3 (storageRoots[0])`);
  assert.equal(placeOf('storageRoots[0].who'), `${at.file} line 3 (storageRoots[0].who)`);
  assert.equal(placeOf('bridges'), `default of ${at.file} (bridges)`);
  assert.equal(source.placed({ code: 'x', message: '', hint: '' }).ruleAt, undefined);
});

test('check places every fault, and warns of what the host does not have', () => {
  using at = place();
  write(at.file, '{\n  "bridge": ["br0"],\n  "storageRoots": [{ "path": "/srv",\n    "access": "x" }]\n}\n');
  const { faults } = checkPolicy(at.file, true, []);
  assert.deepEqual(
    faults.map(({ key, line, column }) => [key, line, column]),
    [
      ['bridge', 2, 3],
      ['storageRoots[0].access', 4, 5],
    ],
  );
  const broken = (text: string): readonly unknown[] => {
    write(at.file, text);
    return checkPolicy(at.file, false, []).faults.map(({ key, line, column }) => [key, line, column]);
  };
  assert.deepEqual(broken('{\n  "bridges": [br0]\n}'), [['', 2, 15]]);
  assert.deepEqual(broken('{\n  "devices": [],\n  "devices": []\n}'), [['devices', 3, 3]]);
  const open = join(at.directory, 'open');
  const link = join(at.directory, 'link');
  write(at.file, {
    groups: { operators: 'no-such-group-a', administrators: 'root' },
    define: { users: ['no-such-user', 'root'], groups: ['root'] },
    storageRoots: [
      { path: at.directory, access: 'rw', who: { groups: ['no-such-group-b'] } },
      { path: `${at.directory}/none`, access: 'rw' },
      { path: open, access: 'rw' },
      { path: link, access: 'ro' },
      { path: at.file, access: 'ro' },
      { path: at.directory, access: 'ro' },
    ],
    qemuBinaries: ['/usr/bin/no-such-qemu'],
    imageTools: [at.file],
    bridges: ['nobridge'],
    lvmGroups: [{ group: 'no-such-group', access: 'rw' }],
    blockDevices: [{ path: '/dev/null', access: 'rw' }],
  });
  mkdirSync(open);
  chmodSync(open, 0o777);
  symlinkSync(open, link);
  const found = checkPolicy(at.file, false, []);
  assert.deepEqual(found.faults, []);
  assert.deepEqual(
    found.warnings.map(({ key }) => key),
    [
      'groups.operators',
      'define.users[0]',
      'storageRoots[0].who.groups[0]',
      'storageRoots[1]',
      'storageRoots[2]',
      'storageRoots[3]',
      'storageRoots[4]',
      'storageRoots[5]',
      'blockDevices[0]',
      'lvmGroups[0]',
      'qemuBinaries[0]',
      'imageTools[0]',
      'bridges[0]',
    ],
  );
  assert.ok(found.warnings.every(({ line, cure }) => line === 1 && cure !== ''));
});
