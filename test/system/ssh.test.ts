/** From an image to a login: `qward create`, then `qward ssh` through the forward into a guest that has Debian's sshd, with the host's ssh. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeSshKey } from '../../src/cli/create/ssh-key.ts';
import { done } from '../support/driver.ts';
import { addGuestSshd } from '../support/guest-sshd.ts';
import { startInstance, type CommandOutcome } from '../support/instance.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const instance = await startInstance({ network: uplink.host.path });
after(() => instance[Symbol.asyncDispose]());
const home = join(instance.directory, 'root');
const env = { HOME: home };
const key = join(home, 'key');
const kept = `${home}/.local/state/qward/ssh/system/web`;

async function ssh(words: readonly string[], expected = 0): Promise<CommandOutcome> {
  const outcome = await instance.qward(['ssh', ...words], { env, timeoutMs: 180_000 });
  assert.equal(outcome.status, expected, `${words.join(' ')}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}

before(async () => {
  mkdirSync(home, { mode: 0o700 });
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const picture = join(home, 'picture.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', picture, '32M']);
  const hex = createHash('sha256').update(readFileSync(picture)).digest('hex');
  await done(instance, ['image', 'add', 'cloud', picture, '--sha256', hex], { env });
  const create = [
    'create',
    'web',
    '--image',
    'cloud',
    '--user',
    'cloudy',
    '--memory',
    '192MiB',
    '--network',
    'user',
    '--ssh-key',
    `${key}.pub`,
    '--no-start',
  ];
  await done(instance, create, { env });
  // The image has no system: the demo guest is booted with the machine's own disk, seed and network.
  const guest = addGuestSshd(instance.guest, join(instance.paths.images, 'sshd.cpio'));
  const switches = `${guest.cmdline} qward.net qward.sshd`;
  await done(instance, [
    'set',
    'web',
    `boot.kernel=${guest.kernel}`,
    `boot.initrd=${guest.initrd}`,
    `boot.cmdline=${switches}`,
  ]);
  await done(instance, 'start web');
});

test('the first connection is to the guest whose key was made for it, and runs commands as its user', async () => {
  assert.match(readFileSync(`${kept}/known_hosts`, 'utf8'), /^web\.qward ssh-ed25519 /);
  const { stdout, stderr } = await ssh(['web', 'id -un; hostname; cat']);
  assert.equal(stdout, 'cloudy\nweb\n');
  assert.doesNotMatch(stderr, /authenticity|not known|Warning: Permanently/);
  assert.deepEqual([existsSync(`${home}/.ssh/known_hosts`), statSync(kept).mode & 0o777], [false, 0o700]);
  await ssh(['web', 'exit 7'], 7);
});

test('the block for ssh_config leads other programs there', async () => {
  const config = join(home, 'config');
  writeFileSync(config, (await ssh(['--config', 'web'])).stdout);
  const sent = join(home, 'sent');
  writeFileSync(sent, 'from the host');
  uplink.host.run('sh', '-c', `ssh -F ${config} web.qward 'cat >/tmp/sent' <${sent}`);
  assert.equal(uplink.host.run('ssh', '-F', config, 'web.qward', 'cat /tmp/sent'), 'from the host');
});

test('a guest with another key is refused, and one that is not known is taken with a word', async () => {
  const known = readFileSync(`${kept}/known_hosts`, 'utf8');
  writeFileSync(`${kept}/known_hosts`, `web.qward ${makeSshKey('x').publicKey}\n`);
  assert.match(
    (await ssh(['web', 'true'], 255)).stderr,
    /IDENTIFICATION HAS CHANGED|Host key verification failed/,
  );
  rmSync(`${kept}/known_hosts`);
  assert.match((await ssh(['web', 'true'])).stderr, /not known yet: the one that it shows now is kept/);
  assert.doesNotMatch((await ssh(['web', 'true'])).stderr, /not known/);
  assert.equal(readFileSync(`${kept}/known_hosts`, 'utf8').trim(), known.trim());
});

test('another user of the guest is not let in, and words that are no user or address are refused', async () => {
  assert.match((await ssh(['--user', 'root', 'web', 'true'], 255)).stderr, /Permission denied/);
  await ssh(['--user=-oProxyCommand=x', 'web', 'true'], 2);
  await ssh(['--address', 'a;b', 'web', 'true'], 2);
  assert.match(
    (await ssh(['--address', '127.0.0.1', '--port', '1', '--wait', '1s', 'web', 'true'], 255)).stderr,
    /no sshd answers for machine "web" at 127\.0\.0\.1 port 1\n.*qward console web/,
  );
  await done(instance, 'kill --yes web');
});
