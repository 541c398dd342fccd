/** `qward claim`, `claims` and `unclaim` as users say them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '../../src/protocol/claims.ts';
import { startWithAccounts } from '../support/accounts.ts';
import type { CommandOutcome } from '../support/instance.ts';

const alice = 910_100_001;
const bob = 910_100_002;

test('users claim, list and take back files, each their own; root sees them all and claims none', async () => {
  await using instance = await startWithAccounts([
    { name: 'alice', uid: alice },
    { name: 'bob', uid: bob },
  ]);
  const as = (uid: number, ...words: string[]): Promise<CommandOutcome> => instance.qward(words, { uid });
  const { status, stdout, stderr } = await as(
    alice,
    'claim',
    'web',
    '/home/alice/a.img',
    '/home/alice/../alice/b.img',
    '--rw',
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '/home/alice/a.img: claimed\n/home/alice/b.img: claimed\n');
  assert.match((await as(alice, 'claim', 'web', '/home/alice/a.img')).stdout, /claimed before/);
  await as(bob, 'claim', 'web', '/home/bob/c.iso');

  const listed = await as(alice, 'claims', 'web', '--json');
  const claims = JSON.parse(listed.stdout) as readonly Claim[];
  assert.deepEqual(
    claims.map(({ machine, uid, path, access }) => [machine, uid, path, access]),
    [
      ['web', alice, '/home/alice/a.img', 'rw'],
      ['web', alice, '/home/alice/b.img', 'rw'],
    ],
  );
  assert.match(
    (await as(bob, 'claims')).stdout,
    /^MACHINE +UID +ACCESS +SINCE +PATH\nweb .* ro .*\/home\/bob\/c\.iso\n$/,
  );
  assert.equal((await as(bob, 'claims', 'other')).stdout, 'No claims.\n');
  assert.equal(
    (await as(0, 'claims', '-q')).stdout,
    '/home/alice/a.img\n/home/alice/b.img\n/home/bob/c.iso\n',
  );

  const refused = await as(alice, 'claim', 'web', '/etc/x', '/proc/1/root/etc/shadow');
  assert.equal(refused.status, 4);
  assert.match(refused.stderr, /\/proc\/1\/root\/etc\/shadow.*kernel's/);
  const root = await as(0, 'claim', 'web', '/etc/shadow');
  assert.equal(root.status, 4);
  assert.match(root.stderr, /root does not claim[^]*storageRoots/);
  for (const words of [
    ['unclaim', 'web'],
    ['unclaim', 'web', '--all', '/a'],
    ['claim', '../web', '/a'],
    ['claims', 'A'],
  ])
    assert.equal((await as(alice, ...words)).status, 2);

  assert.equal((await as(bob, 'unclaim', 'web', '/home/alice/a.img')).stdout, 'Nothing was claimed.\n');
  assert.equal(
    (await as(alice, 'unclaim', 'web', '/home/alice/b.img')).stdout,
    '/home/alice/b.img: no longer claimed\n',
  );
  assert.equal((await as(alice, 'unclaim', 'web', '--all')).stdout, '/home/alice/a.img: no longer claimed\n');
  assert.equal((await as(0, 'claims', '-q')).stdout, '/home/bob/c.iso\n');

  assert.equal((await instance.qward(['host', 'down', ...instance.hostFlags])).status, 0);
  const down = await as(alice, 'claims');
  assert.equal(down.status, 1);
  assert.match(down.stderr, /claims\.sock[^]*host up/);
});
