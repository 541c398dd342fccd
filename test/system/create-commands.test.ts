/** `qward create`: from an image to a machine whose seed a Linux guest reads; every fault before anything is made; all of it or nothing. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  chownSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startInstance, type CommandOutcome } from '../support/instance.ts';
import { sessionUser } from '../support/session.ts';

const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());
const data = `${user.home}/.local/share/qward`;
const login = `${user.home}/.local/state/qward/ssh/session`;
const MiB = 1024 ** 2;

async function qward(words: string, expected = 0): Promise<CommandOutcome> {
  const outcome = await user.qward(words.split(' '), { timeoutMs: 120_000 });
  assert.equal(outcome.status, expected, `${words}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}

/** A file of the user's. */
function own(name: string, content = ''): string {
  const path = join(user.home, name);
  writeFileSync(path, content, { mode: 0o600 });
  chownSync(path, user.uid, user.uid);
  return path;
}

const machines = (): readonly string[] =>
  existsSync(`${data}/machines`) ? readdirSync(`${data}/machines`) : [];
const kept = (): readonly string[] => (existsSync(login) ? readdirSync(login) : []);
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

const picture = join(user.home, 'picture.qcow2');
const key = join(user.home, 'key.pub');

before(async () => {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', picture, '32M']);
  execFileSync('qemu-io', ['-c', 'write -P 5 0 2M', picture]);
  chownSync(picture, user.uid, user.uid);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'of "a", test', '-f', key.slice(0, -4)]);
  for (const path of [key, key.slice(0, -4)]) chownSync(path, user.uid, user.uid);
  await qward(`image add cloud ${picture} --sha256 ${sha256(picture)} --user cloudy`);
});

test('every fault of the words is said at once, and nothing is made', async () => {
  const { stderr } = await qward(
    'create Web! --image cloud --cpus 0 --memory much --disk x --ssh-key /nonesuch --user -x --network br0',
    2,
  );
  for (const fault of [
    /"Web!" is not a name for a machine/,
    /--cpus: 1 to 255/,
    /--memory: a size/,
    /--disk: a size/,
    /\/nonesuch cannot be read/,
    /--user: a name/,
    /--network: user, none or bridge:NAME/,
  ])
    assert.match(stderr, fault);
  assert.match((await qward('create web', 2)).stderr, /what does it start from/);
  for (const [words, why] of [
    [`--iso ${picture} --disk 1G`, /nobody to log in as/],
    [`--image cloud --network none --ssh-key ${key}`, /needs a network/],
    [`--image cloud --no-start --ssh-key ${key}`, /is started/],
  ] as const)
    assert.match((await qward(`create web --login ${words}`, 2)).stderr, why);
  for (const words of ['--image cloud --network user', '--image cloud --uefi', `--iso ${picture} --disk 1G`])
    assert.match((await qward(`create web --runner ${words}`, 2)).stderr, /--runner is for an image/);
  assert.match(
    (await qward(`create web --image nope --ssh-key ${key}`, 3)).stderr,
    /nor in the catalogue \(debian-12/,
  );
  const secret = key.slice(0, -4);
  own('not-a-key', readFileSync(secret, 'utf8'));
  assert.match(
    (await qward(`create web --image cloud --ssh-key ${user.home}/not-a-key`, 2)).stderr,
    /is no file of public keys/,
  );
  assert.match(
    (await qward(`create web --image cloud --network none --disk 1MiB --ssh-key ${key}`, 1)).stderr,
    /image "cloud" has 32MiB itself/,
  );
  assert.deepEqual([machines(), kept()], [[], []]);
});

test('a machine is made with its disk, seed and definition, which the user can read first', async () => {
  const words = `create web --image cloud --network none --cpus 2 --memory 192M --disk 64MiB --no-start --ssh-key ${key}`;
  assert.match((await qward(`${words} --runner --dry-run`)).stdout, /^runner: true.*\ngenerationId: auto/m);
  const { stdout } = await qward(`${words} --dry-run`);
  assert.match(stdout, /^# Made by "qward create"[^]*name: web\ncpu:\n {2}count: 2\nmemory: 192M\n/);
  assert.deepEqual([machines(), kept()], [[], []]);
  const made = await qward(words);
  assert.match(
    made.stdout,
    /web: created\n[^]*with your rights[^]*next: qward start web, then qward ssh web/,
  );
  const info = JSON.parse(
    execFileSync('qemu-img', ['info', '--output=json', `${data}/machines/web/root.qcow2`], {
      encoding: 'utf8',
    }),
  ) as Record<string, unknown>;
  assert.deepEqual([info['virtual-size'], info['backing-filename']], [64 * MiB, undefined]);
  for (const [path, mode] of [
    ['', 0o700],
    ['/root.qcow2', 0o600],
    ['/seed.iso', 0o600],
  ] as const) {
    const { uid, mode: found } = statSync(`${data}/machines/web${path}`);
    assert.deepEqual([uid, found & 0o777], [user.uid, mode], path);
  }
  assert.equal((await qward('show web')).stdout, stdout);
  assert.match(readFileSync(`${login}/web/known_hosts`, 'utf8'), /^web\.qward ssh-ed25519 AAAA\S+\n$/);
  assert.deepEqual(JSON.parse(readFileSync(`${login}/web/login.json`, 'utf8')), {
    user: 'cloudy',
    identity: key.slice(0, -4),
  });
  assert.match(
    (await qward(words, 1)).stderr,
    /root\.qcow2 is there already[^]*"web" is defined already|"web"/,
  );
});

test('Linux finds the seed by its label, and reads what cloud-init is to read', async () => {
  const { kernel, initrd, cmdline } = user.guest;
  const set = ['set', 'web', `boot.kernel=${kernel}`, `boot.initrd=${initrd}`, `boot.cmdline=${cmdline}`];
  const outcome = await user.qward(set);
  assert.equal(outcome.status, 0, outcome.stderr);
  await qward('start web');
  const shows = async (wanted: RegExp): Promise<string> => {
    for (const giveUpAt = performance.now() + 90_000; ; await delay(100)) {
      const { stdout } = await user.qward(['console', '--log', 'web']);
      if (wanted.test(stdout)) return stdout;
      assert.ok(performance.now() < giveUpAt, `${wanted.source}: ${stdout}`);
    }
  };
  await shows(/qward-demo: ready/);
  using client = user.client();
  const opened = await client.console({ name: 'web', mode: 'write' });
  assert.ok(opened.ok);
  const load = 'while read m; do insmod /lib/modules/$m; done </lib/modules/scsi.list 2>/dev/null';
  // udev and cloud-init find it so.
  const label = execFileSync('blkid', ['-p', '-o', 'value', '-s', 'LABEL', `${data}/machines/web/seed.iso`], {
    encoding: 'utf8',
  });
  assert.equal(label.trim(), 'cidata');
  const look =
    'mkdir /m; mount -t iso9660 -o ro /dev/vdb /m; ls -l /m; cd /m; cat meta-data network-config user-data';
  opened.result.write(Buffer.from(`${load}; ${look}; echo all' of it'\n`));
  const text = (await shows(/all of it\r?\n/)).replaceAll('\r', '');
  opened.result.close();
  assert.match(text, /-r-{8}\s+1 0\s+0\s+\d+ .* meta-data\n/);
  const whole = (from: RegExp): Record<string, unknown> =>
    JSON.parse(from.exec(text)?.[1] ?? '') as Record<string, unknown>;
  const meta = whole(/(\{\n {2}"instance-id"[^]*?\n\})/);
  assert.equal(meta['local-hostname'], 'web');
  assert.match(String(meta['instance-id']), /^[0-9a-f-]{36}$/);
  assert.equal(whole(/(\{\n {2}"version"[^]*?\n\})/)['version'], 2);
  const config = whole(/#cloud-config\n(\{[^]*?\n\})/);
  assert.deepEqual(config['ssh_authorized_keys'], [readFileSync(key, 'utf8').trim()]);
  const keys = config['ssh_keys'] as Record<string, string>;
  own('host-key', keys['ed25519_private']);
  const shown = execFileSync('ssh-keygen', ['-y', '-f', join(user.home, 'host-key')], { encoding: 'utf8' });
  assert.equal(shown.trim(), `${keys['ed25519_public']} web`);
  assert.ok(readFileSync(`${login}/web/known_hosts`, 'utf8').includes(keys['ed25519_public'] ?? '-'));
  assert.equal(JSON.parse((await qward('audit web --json')).stdout).ok, true);
  assert.match((await qward('ssh web', 1)).stderr, /machine "web" has no network card\n.*give it one/);
  await qward('kill --yes web');
  assert.match((await qward('ssh web', 1)).stderr, /machine "web" is stopped\n.*qward start web/);
});

test('a user without a key gets one for this machine alone, which the guest lets in and `qward ssh` shows', async () => {
  const words = 'create keyless --image cloud --network none --no-start';
  await qward(`${words} --dry-run`);
  assert.equal(kept().includes('keyless'), false);
  const path = `${login}/keyless/key`;
  assert.ok((await qward(words)).stdout.includes(`  made ${path}\n`));
  const { uid, mode } = statSync(path);
  assert.deepEqual([uid, mode & 0o777], [user.uid, 0o600]);
  const half = execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' }).split(' ')[1] ?? '-';
  const seed = readFileSync(`${data}/machines/keyless/seed.iso`, 'latin1');
  assert.match(
    seed,
    new RegExp(`"ssh_authorized_keys": \\[\\s+"ssh-ed25519 ${half.replaceAll('+', '\\+')}"\\s+\\]`),
  );
  const known = readFileSync(`${login}/keyless/known_hosts`, 'utf8');
  assert.equal(known.includes(half), false, 'the guest proves itself by another');
  assert.deepEqual(JSON.parse(readFileSync(`${login}/keyless/login.json`, 'utf8')), {
    user: 'cloudy',
    identity: path,
  });
  // With a key of the user's it is not needed.
  await qward('rm --yes keyless');
  rmSync(`${data}/machines/keyless`, { recursive: true });
  await qward(`${words} --ssh-key ${key}`);
  assert.equal(existsSync(path), false);
  await qward('rm --yes keyless');
});

test('where something fails half-way, or Ctrl-C comes, nothing of it is left', async () => {
  const before = [machines(), kept()];
  // The directory for the guest's key cannot be made; the disk is there by then.
  writeFileSync(`${login}/half`, 'in the way');
  const words = `create half --image cloud --network none --ssh-key ${key}`;
  assert.match((await qward(words, 1)).stderr, /half cannot be written/);
  assert.deepEqual(machines(), before[0]);
  await qward('status half', 3);
  assert.equal(readFileSync(`${login}/half`, 'utf8'), 'in the way');
  rmSync(`${login}/half`);
  const [program = '', ...cli]: readonly string[] = [...user.asUser, ...user.cli, '--session'];
  const create = ['create', 'cut', '--image', 'cloud', '--network', 'none', '--ssh-key', key];
  const child = spawn(program, [...cli, ...create], { env: user.environment, stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => void child.once('close', resolve));
  while (!machines().includes('cut') && child.exitCode === null) await delay(5);
  child.kill('SIGINT');
  assert.equal(await ended, 130);
  assert.deepEqual([machines(), kept()], before);
  await qward('status cut', 3);
});

test('a desktop is made from a disc: a screen, a tablet, and an empty disk', async () => {
  const iso = own('install.iso', 'x'.repeat(4096));
  assert.match((await qward(`create win --iso ${iso}`, 2)).stderr, /how large is the disk/);
  assert.match(
    (await qward(`create win --iso /nonesuch.iso --disk 1GiB`, 2)).stderr,
    /\/nonesuch\.iso cannot be read/,
  );
  const { stdout } = await qward(`create win --iso ${iso} --disk 40G --memory 256MiB --network none`);
  assert.match(stdout, /win: created and started[^]*qward vnc win/);
  const shown = (await qward('show win')).stdout;
  assert.match(shown, /order: \[root, install\][^]*vnc: true[^]*clipboard: true/);
  const png = join(user.home, 'win.png');
  await qward(`screenshot win ${png}`);
  assert.ok(statSync(png).size > 100);
  await qward('kill --yes win');
  await qward('rm --yes win');
  // On a desktop a window opens; what stands for the viewer connects, and is closed.
  const viewer = own('viewer', '#!/bin/bash\nexec 3<>/dev/tcp/$1/$2; head -c 12 <&3 >~/greeting\n');
  chmodSync(viewer, 0o700);
  const env = { DISPLAY: ':none', QWARD_VIEWER: `${viewer} {host} {port}` };
  const desk = `create desk --iso ${iso} --disk 1GiB --memory 256MiB --network none`;
  const opened = await user.qward(desk.split(' '), { timeoutMs: 120_000, env });
  assert.equal(opened.status, 0, opened.stderr);
  assert.match(opened.stderr, /desk: created and started/);
  assert.equal(readFileSync(join(user.home, 'greeting'), 'utf8'), 'RFB 003.008\n');
  await qward('kill --yes desk');
});

test("root's machine has its files beneath the storage root", async () => {
  await using instance = await startInstance();
  const { images } = instance.paths;
  const env = { HOME: instance.directory, XDG_STATE_HOME: `${instance.directory}/state` };
  const as = async (words: string): Promise<CommandOutcome> => {
    const outcome = await instance.qward(words.split(' '), { env });
    assert.equal(outcome.status, 0, outcome.stderr);
    return outcome;
  };
  mkdirSync(env.XDG_STATE_HOME);
  await as(`image add cloud ${picture} --sha256 ${sha256(picture)} --user cloudy`);
  await as(`create web --image cloud --network none --memory 128MiB --ssh-key ${key}`);
  assert.deepEqual(readdirSync(images).sort(), [
    'cloud.json',
    'cloud.qcow2',
    'web-root.qcow2',
    'web-seed.iso',
  ]);
  await as('kill --yes web');
});
