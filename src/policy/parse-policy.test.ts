import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePolicy, withoutComments, type PolicyFault } from './parse-policy.ts';
import { absolutePath, defaultPolicy, type Policy } from './policy.ts';

const faultsOf = (text: string): readonly PolicyFault[] => {
  const outcome = parsePolicy(text);
  return outcome.ok ? [] : outcome.faults;
};
const policyOf = (value: unknown): Policy => {
  const outcome = parsePolicy(JSON.stringify(value));
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return outcome.policy;
};

test('an empty policy is the default one', () => {
  assert.deepEqual(parsePolicy('{}'), { ok: true, policy: defaultPolicy });
});

test('the default policy, written out, is read as itself', () => {
  const { quotas: _, ...rest } = defaultPolicy;
  // `who: null` is what a key that is not given means; it is not written.
  const text = JSON.stringify(rest, (key, value: unknown) => (key === 'who' ? undefined : value));
  assert.deepEqual(parsePolicy(text), { ok: true, policy: defaultPolicy });
});

test('comments may stand anywhere outside strings', () => {
  const outcome = parsePolicy(
    `{ // the range\n "uidRange": {"base": 200000, /* few */ "count": 10}, "bridges": ["br0"] }`,
  );
  assert.ok(outcome.ok);
  assert.deepEqual(outcome.policy.uidRange, { base: 200_000, count: 10 });
  assert.deepEqual(outcome.policy.bridges, [{ bridge: 'br0', who: null }]);
  assert.equal(withoutComments('{"a": "// not a comment"}'), '{"a": "// not a comment"}');
});

test('every key is read, and sizes with units', () => {
  const policy = policyOf({
    groups: { operators: 'kvm' },
    operate: 'granted',
    define: { users: ['alice'], groups: ['staff'] },
    quotas: [
      { who: { users: ['alice'] }, machines: 3, memory: '8GiB', disk: 1e12 },
      { who: { groups: ['staff'] }, cpus: 4 },
    ],
    ownerClaims: false,
    blockDevices: [{ path: '/dev/disk/by-id/wwn-0x5', access: 'rw' }],
    lvmGroups: [{ group: 'vg0', access: 'ro', who: { groups: ['staff'] } }],
    imageTools: [],
    allowAuditWarning: true,
    storageRoots: [{ path: '/srv/iso', access: 'ro', who: { users: ['bob'] } }],
    ceilings: { memory: '64G' },
  });
  assert.deepEqual(policy.groups, { operators: 'kvm', administrators: 'qward-admin' });
  assert.deepEqual(policy.define, { users: ['alice'], groups: ['staff'] });
  assert.deepEqual(policy.quotas, [
    { who: { users: ['alice'], groups: [] }, machines: 3, cpus: null, memory: 8 * 1024 ** 3, disk: 1e12 },
    { who: { users: [], groups: ['staff'] }, machines: null, cpus: 4, memory: null, disk: null },
  ]);
  assert.deepEqual(policy.lvmGroups, [{ group: 'vg0', access: 'ro', who: { users: [], groups: ['staff'] } }]);
  assert.deepEqual(policy.blockDevices, [
    { path: '/dev/disk/by-id/wwn-0x5', access: 'rw', who: null, rawio: false },
  ]);
  assert.deepEqual(policy.storageRoots[0]?.who, { users: ['bob'], groups: [] });
  assert.deepEqual(policy.ceilings, { ...defaultPolicy.ceilings, memory: 64 * 1024 ** 3 });
  assert.deepEqual(
    [policy.operate, policy.ownerClaims, policy.imageTools, policy.allowAuditWarning],
    ['granted', false, [], true],
  );
});

test('every fault is told at once, with the key that it is in', () => {
  const faults = faultsOf(`{
    "bridge": [],
    "bridges": ["way-too-long-a-name"],
    "storageRoots": [{"path": "/a/../b", "access": "x"}, {"path": "/a", "acess": "ro"}],
    "uidRange": {"base": 0, "count": 1},
    "define": {"users": ["al ice"]},
    "ceilings": {"memory": "4 apples", "pids": "4"},
    "quotas": [{"memory": -1}],
    "lvmGroups": [{"group": "../x", "access": "rw", "who": null}],
    "blockDevices": [{"path": "/etc/shadow", "access": "rw"}, {"path": "/dev/../etc", "access": "rw"}],
    "ownerClaims": "yes"
  }`);
  assert.deepEqual(faults.map(({ key }) => key).toSorted(), [
    'blockDevices[0].path',
    'blockDevices[1].path',
    'bridge',
    'bridges[0]',
    'ceilings.memory',
    'ceilings.pids',
    'define.users[0]',
    'lvmGroups[0].group',
    'lvmGroups[0].who',
    'ownerClaims',
    'quotas[0].memory',
    'quotas[0].who',
    'storageRoots[0].access',
    'storageRoots[0].path',
    'storageRoots[1].access',
    'storageRoots[1].acess',
    'uidRange.base',
  ]);
  assert.deepEqual(faults.find(({ key }) => key === 'storageRoots[1].acess')?.known, [
    'path',
    'access',
    'who',
  ]);
});

test('what is no JSON object, or says a key twice, is refused', () => {
  for (const text of ['', '[]', 'null', '"x"', '{', '{"a": 1,}', '{"bridges": ["br0"], "bridges": []}'])
    assert.equal(faultsOf(text).length, 1, text);
  assert.match(faultsOf('{"ceilings": {"pids": 5, // five\n "pids": 50}}')[0]?.message ?? '', /twice/);
  assert.deepEqual(faultsOf('{"bridges": ["br0"], "devices": []}'), []);
  for (const key of ['__proto__', 'constructor', 'toString'])
    assert.deepEqual(
      faultsOf(`{"${key}": {}, "ceilings": {"${key}": 1}}`).map((fault) => fault.key),
      [key, `ceilings.${key}`],
    );
});

test('sizes are bytes, or have a binary unit', () => {
  const memory = (size: unknown): number | undefined => {
    const outcome = parsePolicy(JSON.stringify({ ceilings: { memory: size } }));
    return outcome.ok ? outcome.policy.ceilings.memory : undefined;
  };
  assert.deepEqual([4096, '4096', '4K', '4KiB', '4 KiB'].map(memory), [4096, 4096, 4096, 4096, 4096]);
  for (const wrong of [
    0,
    -1,
    1.5,
    '0',
    '',
    'K',
    '1.5G',
    '4KB',
    '4 apples',
    '9999999999P',
    null,
    [],
    {},
    true,
    2 ** 60,
  ])
    assert.equal(memory(wrong), undefined, JSON.stringify(wrong));
});

test('ranges that reach nobody or the end of the uids are refused', () => {
  for (const range of ['{"base": 65000, "count": 1000}', '{"base": 4294967290, "count": 100}'])
    assert.equal(faultsOf(`{"uidRange": ${range}}`)[0]?.key, 'uidRange', range);
});

test('no text makes the parser throw', () => {
  fc.assert(fc.property(fc.string(), (text) => typeof parsePolicy(text).ok === 'boolean'));
  fc.assert(fc.property(fc.json(), (text) => typeof parsePolicy(text).ok === 'boolean'));
  assert.equal(parsePolicy('['.repeat(500_000)).ok, false);
  assert.equal(parsePolicy(`${'['.repeat(200_000)}${']'.repeat(200_000)}`).ok, false);
});

const names = Object.keys(defaultPolicy);

test('what is accepted has the shape of a policy, whatever was written under its keys', () => {
  const path = fc.oneof(
    fc.constantFrom(
      '/srv',
      '/dev/sda',
      '/a/../b',
      '/dev/kvm',
      'x',
      '/',
      '/usr/bin/x',
      '/a//b',
      '/a/',
      '/a\nb',
    ),
    fc.string(),
  );
  const word = fc.oneof(path, fc.constantFrom('rw', 'ro', 'all', 'granted', 'br0', 'alice'), fc.jsonValue());
  const item = fc.dictionary(
    fc.constantFrom('path', 'access', 'who', 'group', 'memory', 'base', 'users'),
    word,
  );
  const value = fc.oneof(word, fc.array(fc.oneof(word, item), { maxLength: 3 }), item);
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value), (written) => {
      const outcome = parsePolicy(JSON.stringify(written));
      if (!outcome.ok) return outcome.faults.length > 0;
      const { policy } = outcome;
      assert.deepEqual(Object.keys(policy), names);
      for (const root of policy.storageRoots) assert.match(root.path, absolutePath);
      for (const device of policy.blockDevices) assert.match(device.path, /^\/dev\//);
      for (const device of policy.devices) assert.match(device, /^\/dev\/(kvm|vhost-net)$/);
      for (const binary of [...policy.qemuBinaries, ...policy.imageTools]) assert.match(binary, absolutePath);
      assert.ok(Object.values(policy.ceilings).every((most) => Number.isSafeInteger(most) && most > 0));
      return true;
    }),
    { numRuns: 2000 },
  );
});
