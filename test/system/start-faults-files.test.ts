/** Files that a start needs and that are missing, wrong, locked or unreadable: a clear error, and nothing left. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import {
  bareMachine,
  consoleShows,
  define,
  defineBare,
  defineDemo,
  disk,
  done,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { ownRuleText } from '../../src/protocol/rules.ts';
import { startInstance } from '../support/instance.ts';
import { makeImage } from '../support/test-launch.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

const { images } = instance.paths;
const good = instance.disk('good');

/** The start of `web` fails with these words and leaves nothing; with a good disk it then starts. */
async function failsCleanly(words: string): Promise<void> {
  assert.equal(await refused(instance, 'start web'), words);
  assert.deepEqual(remains(instance, 'web'), []);
  const { state, lastEnd } = await statusOf(instance, 'web');
  assert.deepEqual([state, lastEnd?.how], ['failed', 'start failed']);
  await defineBare(instance, 'web', disk(good));
  assert.equal(await done(instance, 'start web'), 'web: started');
  await done(instance, 'kill web');
  assert.deepEqual(remains(instance, 'web'), []);
}

test('an image that is not there', async () => {
  await defineBare(instance, 'web', disk(`${images}/none.qcow2`));
  await failsCleanly('disk "root": "DIR/none.qcow2" does not exist\n  check the path');
});

test('every fault of every file at once', async () => {
  await define(
    instance,
    bareMachine(
      'web',
      `boot: { kernel: ${images}/vmlinuz, initrd: ${images}/initrd }`,
      disk(`${images}/none.qcow2`),
      `cdroms: [{ id: install, path: ${images}/none.iso }]`,
    ),
  );
  const words = await refused(instance, 'start web');
  assert.deepEqual(
    words.split('\n').filter((line) => !line.startsWith(' ')),
    [
      'kernel: "DIR/vmlinuz" does not exist',
      'initial RAM disk: "DIR/initrd" does not exist',
      'disk "root": "DIR/none.qcow2" does not exist',
      'CD-ROM drive "install": "DIR/none.iso" does not exist',
    ],
  );
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a raw image that is declared qcow2', async () => {
  writeFileSync(`${images}/raw.img`, Buffer.alloc(1024 * 1024));
  await defineBare(instance, 'web', disk(`${images}/raw.img`));
  await failsCleanly(
    'disk "root": "DIR/raw.img" has no header of a known format, and the definition says qcow2\n' +
      '  Write `format: raw` if that is what it is: qward never guesses a format.',
  );
});

const isQcow2 = (path: string): string =>
  `disk "root": "${path}" is qcow2, and the definition says raw\n` +
  '  Write `format: qcow2` if you made it so. If a guest with a raw disk wrote this header, leave it `raw` and clear the first sector: qward never guesses a format.';

test('a qcow2 image that is declared raw', async () => {
  makeImage(`${images}/second.qcow2`);
  await defineBare(instance, 'web', disk(`${images}/second.qcow2`, 'raw'));
  await failsCleanly(isQcow2('DIR/second.qcow2'));
});

test('a raw disk onto which a guest wrote a qcow2 header that names /etc/shadow', async () => {
  const path = `${images}/guest.raw`;
  makeImage(path, 'raw');
  // QEMU's own tool writes the header, so that it is one that QEMU would follow; the old form of it is short.
  const evil = `${images}/evil.qcow2`;
  const backing = ['-b', '/etc/shadow', '-F', 'raw'];
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-o',
    'compat=0.10',
    ...backing,
    evil,
    '8M',
  ]);
  const header = readFileSync(evil).subarray(0, 128);
  assert.ok(header.includes('/etc/shadow'));
  await defineDemo(instance, { name: 'writer', more: disk(path, 'raw') });
  await done(instance, 'start writer');
  await consoleShows(instance, 'writer', /ready[\s\S]*# /);
  const octal = [...header].map((byte) => `\\0${byte.toString(8)}`).join('');
  await typeInto('writer', `printf '%b' '${octal}' | dd of=/dev/vda conv=fsync,notrunc; echo writ''ten\n`);
  await consoleShows(instance, 'writer', 'written');
  await done(instance, 'kill writer');
  assert.deepEqual(readFileSync(path).subarray(0, 128), header, 'the guest wrote the header');

  assert.equal(await refused(instance, 'start writer'), isQcow2('DIR/guest.raw'));
  // Who believes the header and says qcow2 is still not led to the file that it names.
  await defineBare(instance, 'web', disk(path));
  await failsCleanly(
    'disk "root": "DIR/guest.raw" has a backing file, "/etc/shadow", and the definition lists none below it\n' +
      '  List it, with its path and format, in `backing` of disk "root"; or join the two: `qward disk rebase DIR/guest.raw --backing FILE`. If you did not make it so, do neither: it may name any file.',
  );
  const chained = bareMachine(
    'web',
    disk(path, 'qcow2', '    backing: [{ path: /etc/shadow, format: raw }]'),
  );
  const defined = await instance.qward(['define', '--replace', '-'], { stdin: chained });
  assert.equal(defined.status, 4);
  assert.match(
    defined.stderr,
    /^disk "root", backing image 1: "\/etc\/shadow" is outside the storage roots\n/,
  );
  assert.deepEqual(remains(instance, 'web'), []);
});

async function typeInto(machine: string, text: string): Promise<void> {
  const reply = await instance.client.console({ name: machine, mode: 'write' });
  assert.ok(reply.ok, JSON.stringify(reply));
  // The guest's shell takes a line of 1023 bytes at most.
  assert.ok(text.length < 1024);
  reply.result.write(Buffer.from(text));
  reply.result.close();
}

test('an image that another machine of ours has open: that one is named, not one that only shares the kernel', async () => {
  await defineDemo(instance, { name: 'bystander' });
  await defineDemo(instance, { name: 'holder', disk: good });
  await defineDemo(instance, { name: 'web', disk: good });
  await done(instance, 'start --paused bystander holder');
  assert.equal(
    await refused(instance, 'start web'),
    'machine "web" was not started: image "DIR/good.qcow2" is in use by machine "holder"\n' +
      '  stop machine "holder" first: `qward stop holder`',
  );
  assert.deepEqual(remains(instance, 'web'), []);
  assert.equal((await statusOf(instance, 'holder')).state, 'paused', 'the holder goes on');
  await done(instance, 'kill holder');
  assert.equal(await done(instance, 'start web'), 'web: started');
  await done(instance, 'kill --yes web bystander');
});

test('an image that a foreign QEMU has open', async () => {
  await defineDemo(instance, { name: 'bystander' });
  await done(instance, 'start --paused bystander');
  const blockdev = { driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: good } };
  const argv = ['-nodefaults', '-S', '-machine', 'q35', '-accel', 'tcg', '-m', '32', '-display', 'none'];
  const foreign = spawn(
    '/usr/bin/qemu-system-x86_64',
    [...argv, '-blockdev', JSON.stringify(blockdev), '-device', 'virtio-blk-pci,drive=disk', '-qmp', 'stdio'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  try {
    // Its greeting comes when the image is open.
    await once(foreign.stdout, 'data');
    await defineBare(instance, 'web', disk(good));
    assert.equal(
      await refused(instance, 'start web'),
      'machine "web" was not started: image "DIR/good.qcow2" is in use by a process that is not qward\'s\n' +
        '  stop the other user of the image; `fuser -v DIR/good.qcow2` shows who has it open',
    );
    assert.deepEqual(remains(instance, 'web'), []);
  } finally {
    foreign.kill('SIGKILL');
    await once(foreign, 'close');
  }
  assert.equal(await done(instance, 'start web'), 'web: started');
  await done(instance, 'kill --yes web bystander');
});

test('directories, FIFOs, devices and links in place of an image are never opened', async () => {
  mkdirSync(`${images}/directory`);
  execFileSync('mkfifo', [`${images}/fifo`]);
  execFileSync('mknod', [`${images}/device`, 'b', '7', '0']);
  symlinkSync(good, `${images}/link`);
  symlinkSync(images, `${images}/elsewhere`);
  for (const name of ['directory', 'fifo', 'device']) {
    await defineBare(instance, 'web', disk(`${images}/${name}`));
    await failsCleanly(
      `disk "root": "DIR/${name}" is not a regular file\n  ${ownRuleText('regular-files')}\n  name an image file`,
    );
  }
  for (const name of ['link', 'elsewhere/good.qcow2']) {
    await defineBare(instance, 'web', disk(`${images}/${name}`));
    await failsCleanly(
      `disk "root": "DIR/${name}" is, or lies behind, a symbolic link\n  ${ownRuleText('no-links')}\n` +
        '  write the path that the link leads to; links are never followed',
    );
  }
});

test('an image that not even root may open', async () => {
  // FUSE without allow_other: the kernel refuses everybody but the user who mounted it, before any server is asked.
  const directory = `${images}/fuse`;
  mkdirSync(directory);
  const device = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40000,user_id=12345,group_id=12345';
  const mount = ['-i', '-t', 'fuse', '-o', options, 'none', directory];
  assert.equal(spawnSync('mount', mount, { stdio: ['ignore', 'inherit', 'inherit', device] }).status, 0);
  closeSync(device);
  try {
    await defineBare(instance, 'web', disk(`${directory}/web.qcow2`));
    await failsCleanly(
      'disk "root": "DIR/fuse/web.qcow2" cannot be opened (EACCES)\n  look at the file and its file system',
    );
  } finally {
    execFileSync('umount', [directory]);
  }
});

test('an image on a file system that is mounted read-only', async () => {
  const directory = `${images}/frozen`;
  mkdirSync(directory);
  makeImage(`${directory}/web.qcow2`);
  execFileSync('mount', ['--bind', directory, directory]);
  execFileSync('mount', ['-o', 'remount,bind,ro', directory]);
  try {
    await defineBare(instance, 'web', disk(`${directory}/web.qcow2`));
    await failsCleanly(
      'disk "root": "DIR/frozen/web.qcow2" cannot be opened (EROFS)\n  the file system is read-only: set readonly: true',
    );
    await defineBare(instance, 'web', disk(`${directory}/web.qcow2`, 'qcow2', '    readonly: true'));
    assert.equal(await done(instance, 'start web'), 'web: started', 'the cure helps');
    await done(instance, 'kill web');
  } finally {
    execFileSync('umount', [directory]);
  }
});
