/** Users move their own machines, with files that they have claimed, between two instances; and over ssh, as whom it lets in there. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, mkdirSync, statSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Claim } from '../../src/protocol/claims.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { consoleShows, done, refused, remains, statusOf } from '../support/driver.ts';
import type { Instance } from '../support/instance.ts';
import { startSshd } from '../support/sshd.ts';
import { makeImage } from '../support/test-launch.ts';
import { counted, countsOn } from '../support/two-hosts.ts';

const vera = 910_000_031;
const accounts = [{ name: 'vera', uid: vera }] as const;
const one = await startWithAccounts(accounts);
after(() => one[Symbol.asyncDispose]());
const other = await startWithAccounts(accounts);
after(() => other[Symbol.asyncDispose]());
for (const host of [one, other]) host.writePolicy({ define: { users: ['vera'], groups: [] } });
const sshd = await startSshd(other, {
  accounts: [{ name: 'vera', uid: vera, shell: '/bin/sh' }],
  snippet: '',
});
after(() => sshd[Symbol.asyncDispose]());

// Homes on a file system that both hosts have.
const home = `${one.directory}/home`;
mkdirSync(home);
chownSync(home, vera, vera);
chmodSync(home, 0o700);

function own(file: string, make: (path: string) => void): string {
  const path = `${home}/${file}`;
  make(path);
  chownSync(path, vera, vera);
  chmodSync(path, 0o600);
  return path;
}

const guest = {
  ...one.guest,
  kernel: own('vmlinuz', (path) => copyFileSync(one.guest.kernel, path)),
  initrd: own('initrd', (path) => copyFileSync(one.guest.initrd, path)),
};

const claimsAt = async (host: Instance): Promise<string[]> =>
  (JSON.parse(await done(host, 'claims web --json', { uid: vera })) as Claim[]).map(
    ({ path, access }) => `${access} ${path.replace(`${home}/`, '')}`,
  );

test("a user's machine moves with the files that the user claimed for it, and is the user's there", async () => {
  const disk = own('root.qcow2', (path) => makeImage(path, 'qcow2', '64M'));
  const source = demoMachine({ name: 'web', guest, disk, switches: 'qward.synced', memory: '96MiB' });
  await done(one, 'define -', { uid: vera, stdin: source });
  await done(one, 'start web', { uid: vera });
  await consoleShows(one, 'web', /synced 3\b/);
  const claims = await claimsAt(one);
  assert.equal(claims.length, 3);
  await done(one, ['migrate', 'web', other.paths.apiSocket], { uid: vera, timeoutMs: 120_000 });
  await countsOn(other, 'web', (await counted(one, 'web')).at(-1) ?? 0);
  assert.deepEqual((await claimsAt(other)).sort(), claims.sort());
  assert.equal((await statusOf(other, 'web')).owner, 'vera');
  await done(other, 'audit web', { uid: vera });
  assert.equal(statSync(disk).uid, vera);
  assert.match(await done(other, 'history web'), /vera.*arrive/);
});

test('over ssh the machine becomes one of the account that ssh lets in, and what it may not have there is told before', async () => {
  await done(other, 'kill web');
  await done(one, 'migrate --keep web');
  // Root claims nothing here, so nothing is claimed there: the account has not claimed these files on its own.
  await done(other, 'rm web', { uid: vera });
  await done(other, 'unclaim web --all', { uid: vera });
  await done(one, 'start web', { uid: vera });
  await consoleShows(one, 'web', /synced 3\b/, { replay: false });
  const there = ['migrate', 'web', `ssh://vera@127.0.0.1:${sshd.port}`];
  const env = { PATH: sshd.clientPath };
  assert.match(await refused(one, there, { env, timeoutMs: 120_000, status: 4 }), /root\.qcow2/);
  assert.equal((await statusOf(one, 'web')).state, 'running');
  assert.deepEqual(remains(other, 'web'), []);
  await done(other, ['claim', 'web', `${home}/root.qcow2`, '--rw'], { uid: vera });
  await done(other, ['claim', 'web', guest.kernel, guest.initrd], { uid: vera });
  assert.match(await done(one, there, { env, timeoutMs: 120_000 }), /web: runs on ssh:/);
  await countsOn(other, 'web', 3);
  await done(other, 'audit web');
  await done(other, 'kill web');
});
