/** Networks of throwaway machines: one of their own by passt, or none and connections to places that were named. The host is a namespace of the test's. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addGuestRunner } from '../support/guest-runner.ts';
import { startInstance, type CommandOutcome, type RunOptions } from '../support/instance.ts';
import { rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft } from '../support/throwaways.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());
const base = instance.disk('base');
let boot: readonly string[] = [];

before(() => {
  rememberNoKvm(instance);
  const { kernel, initrd, cmdline } = addGuestRunner(
    instance.guest,
    join(instance.paths.images, 'initrd-runner.cpio'),
  );
  boot = ['--kernel', kernel, '--initrd', initrd, '--memory', '144MiB', '--cmdline', cmdline];
  for (const port of [80, 81, 82]) uplink.serve(world, port, `world ${port}`);
  uplink.start(world, 'busybox', 'nc', '-ll', '-p', '83', '-e', '/bin/cat');
});

const inGuest = (net: string, script: string, options: RunOptions = {}): Promise<CommandOutcome> =>
  // Only there the guest sets a card up, and serves a page of its own at every address.
  instance.qward(
    [
      'run',
      base,
      ...boot.slice(0, -1),
      `${boot.at(-1)}${net === 'user' ? ' qward.net' : ''}`,
      '--net',
      net,
      '--',
      'sh',
      '-c',
      script,
    ],
    {
      timeoutMs: 120_000,
      ...options,
    },
  );
const fetch = (url: string): string => `timeout 20 wget -q -O - ${url}`;

test('a guest with a network of its own fetches from the world by passt, and nothing of it is left', async () => {
  const { stdout, stderr } = await inGuest('user', `${fetch('http://192.0.2.1/')}; ls /sys/class/net`);
  assert.equal(stdout, 'world 80\neth0\nlo\n', stderr);
  assert.deepEqual(await throwawaysLeft(instance), []);
  assert.equal(host.run('nft', 'list', 'tables'), '', 'the packet filter went with it');
});

test('places by IPv4, IPv6 and name are reached without any card, and megabytes go through both ways', async () => {
  const script = [
    fetch('http://192.0.2.1:81/'),
    fetch('"http://[2001:db8::1]:82/"'),
    // As it was written, and as a name resolves where the command runs.
    fetch('http://192.0.2.1:80/'),
    'timeout 60 nc 192.0.2.1 83 | md5sum',
    'ls /sys/class/net',
  ].join('\n');
  const net = 'allow=192.0.2.1:80,192.0.2.1:81,[2001:db8::1]:82,192.0.2.1:83';
  const stdin = 'sixteen bytes...'.repeat(200_000);
  const { createHash } = await import('node:crypto');
  const sum = createHash('md5').update(stdin).digest('hex');
  const { stdout, stderr } = await inGuest(net, script, { stdin });
  assert.equal(stdout, `world 81\nworld 82\nworld 80\n${sum}  -\nlo\n`, stderr);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('a place where nothing listens refuses, and a hundred connections at once are served', async () => {
  const script = [
    `${fetch('http://192.0.2.1:99/')}; echo "status $?"`,
    `for i in $(seq 100); do ${fetch('http://192.0.2.1/')} >/tmp/$i & done; wait; cat /tmp/[0-9]* | sort | uniq -c`,
  ].join('\n');
  const { stdout } = await inGuest('allow=192.0.2.1:80,192.0.2.1:99', script);
  assert.match(stdout, /^status 1\n +100 world 80\n$/);
});

test('a program says the places too, and is told which are none', async () => {
  const [kernel = '', initrd = '', , cmdline = ''] = [boot[1], boot[3], boot[5], boot[7]];
  const options = { image: base, kernel, initrd, cmdline, memory: '144MiB' };
  for (const allow of [
    [],
    ['*:80'],
    ['a b:80'],
    ['127.1:80'],
    ['2130706433:80'],
    ['x:0'],
    ['x:65536'],
    ['::1:80'],
  ])
    await assert.rejects(instance.client.run({ ...options, net: { allow } }), RangeError, allow.join());
  const { status, stderr } = await inGuest('allow=example.org', 'true');
  assert.deepEqual(
    [status, /--net: HOST:PORT expected.* not "example\.org"/.test(stderr)],
    [2, true],
    stderr,
  );
});
