/**
 * By hand: from nothing to a login as an ordinary user, with a cloud image whose own boot loader, kernel, systemd and cloud-init run.
 * `node --test test/system/cloud.long.test.ts`, as root, with a Debian mirror; under TCG some five minutes, the image once as many.
 */
import assert from 'node:assert/strict';
import { execFileSync, execSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { cloudImage } from '../support/cloud-image.ts';
import { imageServer, serve } from '../support/image-server.ts';
import { run, type CommandOutcome, type RunOptions } from '../support/instance.ts';
import { createNetwork, enterOwnNetwork } from '../support/network.ts';
import { sessionUser } from '../support/session.ts';

const image = readFileSync(await cloudImage((line) => console.log(line)));

// The host is a namespace of its own, 192.0.2.2, and so is the world beyond it.
enterOwnNetwork();
const world = await createNetwork();
after(() => world[Symbol.dispose]());
const link = `ip link set lo up; ip link add up0 type veth peer name up1 netns ${world.path.split('/')[2]}`;
execSync(`${link}; ip address add 192.0.2.2/24 dev up0; ip link set up0 up`);
world.run('sh', '-c', 'ip link set lo up; ip address add 192.0.2.1/24 dev up1; ip link set up1 up');
execSync('ip route add default via 192.0.2.1');

const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());
const server = await imageServer(serve(image));
after(() => server[Symbol.asyncDispose]());
const key = join(user.home, 'key');
const known = `${user.home}/.local/state/qward/ssh/session/web1/known_hosts`;
/** Of anything that waits for a guest under TCG on a busy host. */
const timeoutMs = 600_000;

/** ssh wants its user to have a name, and a place has one: two files are others in a mount namespace of the command's. */
const accounts = join(user.home, 'passwd');
writeFileSync(accounts, `root:x:0:0::/root:/bin/sh\nann:x:${user.uid}:${user.uid}::${user.home}:/bin/sh\n`);
const names = join(user.home, 'hosts');
writeFileSync(names, '127.0.0.1 localhost\n192.0.2.1 page.test\n');
const mounts = `mount --bind ${accounts} /etc/passwd && mount --bind ${names} /etc/hosts && exec "$@"`;
const asAnn = ['unshare', '--mount', 'sh', '-c', mounts, 'sh'];
const cli = [...asAnn, ...user.asUser, ...user.cli, '--session'];

const runAsAnn = (words: readonly string[], options: RunOptions = {}): Promise<CommandOutcome> =>
  run([...cli, ...words], user.environment, { timeoutMs, ...options });

async function qward(words: string | readonly string[], expected = 0): Promise<CommandOutcome> {
  const list = typeof words === 'string' ? words.split(' ') : words;
  const outcome = await runAsAnn(list);
  assert.equal(outcome.status, expected, `${list.join(' ')}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}

const page = join(user.home, 'page');
mkdirSync(page);
writeFileSync(join(page, 'index.html'), 'a page of the world\n');
const words = [
  '--pdeathsig',
  'KILL',
  'nsenter',
  `--net=${world.path}`,
  'busybox',
  'httpd',
  '-f',
  '-p',
  '8000',
];
const httpd = spawn('setpriv', [...words, '-h', page], { stdio: 'ignore' });
after(() => httpd.kill('SIGKILL'));

before(() => {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  for (const path of [key, `${key}.pub`]) chownSync(path, user.uid, user.uid);
});

async function addImage(name: string): Promise<void> {
  const sha256 = createHash('sha256').update(image).digest('hex');
  await qward(`image add ${name} ${server.url('/cloud.qcow2')} --sha256 ${sha256} --user debian`);
}

test('an image is fetched and checked, a machine made of it, and its first login is to the guest whose key is known', async () => {
  await addImage('cloud');
  await qward(`create web1 --image cloud --cpus 2 --memory 768M --disk 4G --ssh-key ${key}.pub --no-viewer`);
  const { stdout, stderr } = await qward(['ssh', '--wait', '10m', 'web1', 'hostname']);
  assert.equal(stdout, 'web1\n');
  assert.doesNotMatch(stderr, /authenticity|not known|Warning/);
  assert.match(readFileSync(known, 'utf8'), /^web1\.qward ssh-ed25519 \S+\n$/);
  assert.equal(existsSync(`${user.home}/.ssh/known_hosts`), false);
});

test('cloud-init found the seed, did all of it, and made what it says', async () => {
  const ssh = async (command: string): Promise<string> =>
    (await qward(['ssh', 'web1', command])).stdout.trim();
  assert.match(await ssh('cloud-init status --wait --long'), /status: done[^]*DataSourceNoCloud/);
  assert.equal(await ssh('id -un; sudo id -un'), 'debian\nroot');
  assert.equal(await ssh('ls /etc/ssh/ssh_host_*_key'), '/etc/ssh/ssh_host_ed25519_key');
  const [, guestKey = ''] = readFileSync(known, 'utf8').split(/ (.*)\n/);
  assert.ok((await ssh('sudo cat /etc/ssh/ssh_host_ed25519_key.pub')).startsWith(guestKey));
  assert.match(await ssh('ip -4 address show'), /10\.0\.2\.15\/24/);
  // The image has 1.5 GiB; the disk was made larger.
  assert.ok(Number(await ssh('df --output=size -B 1M / | tail -n 1')) > 3000);
  assert.equal(JSON.parse((await qward('audit web1 --json')).stdout).ok, true);
  assert.equal((await qward('exec web1 hostname')).stdout, 'web1\n');
});

test('the guest restarts, and its key and its name are the same', async () => {
  await qward('stop web1 --timeout 3m');
  await qward('start web1');
  assert.equal((await qward(['ssh', '--wait', '10m', 'web1', 'hostname'])).stdout, 'web1\n');
  await qward('stop web1 --timeout 3m');
  await qward('rm --yes web1');
});

const throwaway = (net: string, ...argv: string[]): Promise<CommandOutcome> =>
  runAsAnn(['run', '--memory', '768M', '--ttl', '20m', '--net', net, 'cloud', '--', ...argv], {
    stdin: 'through\n',
  });

test('a command runs in a throwaway machine of the same image, without a network', async () => {
  const outcome = await throwaway('none', 'sh', '-c', 'cat; id -un; ls /sys/class/net; exit 5');
  assert.deepEqual([outcome.status, outcome.stdout], [5, 'through\nroot\nlo\n'], outcome.stderr);
});

test('it reaches the place that was named, by its name, and no other', async () => {
  const script =
    'curl -sS http://page.test:8000/; curl -sS http://192.0.2.1:8000/; curl -sS http://other.test/';
  const { stdout, stderr } = await throwaway('allow=page.test:8000', 'sh', '-c', script);
  assert.equal(stdout, 'a page of the world\n', stderr);
  assert.match(stderr, /curl: \(7\)[^]*curl: \(6\) Could not resolve host: other\.test/);
});

test('a machine that was made for it is saved when it is up, and commands run in copies of it', async () => {
  await addImage('again');
  await qward(`create warm --image again --memory 768M --runner --ssh-key ${key}.pub --no-viewer`);
  const giveUpAt = performance.now() + timeoutMs;
  const settled = ['exec', 'warm', 'cloud-init', 'status'];
  while (!(await runAsAnn(settled)).stdout.includes('status: done')) {
    assert.ok(performance.now() < giveUpAt, 'cloud-init does not end');
    await delay(5000);
  }
  await qward('save warm');
  const script = 'cat; id -un; hostname; date +%s; cat /proc/sys/kernel/random/uuid; exit 5';
  const copy = (): Promise<CommandOutcome> =>
    runAsAnn(['run', '--from', 'warm', '--', 'sh', '-c', script], { stdin: 'through\n' });
  const began = performance.now();
  const outcomes = [await copy(), await copy()];
  console.log(`two copies, one after the other: ${Math.round(performance.now() - began)} ms`);
  const said = outcomes.map(({ status, stdout, stderr }) => {
    assert.equal(status, 5, stderr);
    return stdout.split('\n');
  });
  for (const [through, user, host, clock] of said) {
    assert.deepEqual([through, user, host], ['through', 'root', 'warm']);
    assert.ok(Math.abs(Number(clock) - Date.now() / 1000) < 120, `its clock says ${clock}`);
  }
  assert.notEqual(said[0]?.[4], said[1]?.[4]);
  await qward('start warm');
  await qward('stop warm --timeout 3m');
  await qward('rm --yes warm');
});
