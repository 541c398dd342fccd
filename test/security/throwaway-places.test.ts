/** For rule guest: places that a throwaway machine may connect to: nothing else of the network is reached, whatever a guest tries or its name servers say. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addGuestRunner, addHostileRunner } from '../support/guest-runner.ts';
import { run, startInstance, type CommandOutcome } from '../support/instance.ts';
import { rememberNoKvm } from '../support/small-machine.ts';
import { untilNoneIsLeft } from '../support/throwaways.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());
const base = instance.disk('base');
const guest = addGuestRunner(instance.guest, join(instance.paths.images, 'initrd-runner.cpio'));
const hostile = addHostileRunner(instance.guest, join(instance.paths.images, 'initrd-hostile.cpio'));

/** What name servers say, in a mount namespace of the command's. */
const names = join(instance.directory, 'hosts');
const lying = {
  'loop.test': '127.0.0.1',
  'six.test': '::1',
  'mapped.test': '::ffff:127.0.0.1',
  'own.test': '192.0.2.2',
  'meta.test': '169.254.169.254',
  'zero.test': '0.0.0.0',
  'inner.test': '10.9.9.9',
};
const lines = Object.entries({ 'good.test': '192.0.2.1', ...lying }).map(
  ([name, address]) => `${address} ${name}\n`,
);

before(() => {
  rememberNoKvm(instance);
  world.run('ip', 'address', 'add', '10.9.9.9/32', 'dev', 'up1');
  writeFileSync(names, `127.0.0.1 localhost\n${lines.join('')}`);
  for (const [network, page] of [
    [host, 'a page of the host'],
    [world, 'a page of the world'],
  ] as const)
    for (const port of [80, 8080]) uplink.serve(network, port, page);
  // It takes connections, and reads nothing.
  const sink =
    'use IO::Socket; $s = IO::Socket::INET->new(LocalPort => 84, Listen => 9); push @c, $s->accept while 1';
  uplink.start(world, 'perl', '-e', sink);
});

const misled = ['unshare', '--mount', 'sh', '-c', `mount --bind ${names} /etc/hosts && exec "$@"`, 'sh'];
const qwardRun = (
  { kernel, initrd, cmdline }: typeof guest,
  allow: readonly string[],
  command: readonly string[],
): Promise<CommandOutcome> => {
  const boot = ['--kernel', kernel, '--initrd', initrd, '--cmdline', cmdline, '--memory', '144MiB'];
  const net = allow.length === 0 ? [] : ['--net', `allow=${allow.join()}`];
  const words = ['run', base, ...boot, '--ttl', '100s', ...net, '--', ...command];
  return run([...misled, ...instance.program, ...words], instance.environment, { timeoutMs: 150_000 });
};

test('what was named is reached, and no other port, host, name, protocol or address, nor what a name should not lead to', async () => {
  const fetch = (url: string): string => `timeout 10 wget -q -O - "${url}" 2>&1; echo "${url} $?"`;
  const closed = [
    'http://good.test:8080/',
    'http://192.0.2.1/',
    'http://192.0.2.2/',
    'http://10.0.2.2/',
    'http://10.9.9.9/',
    'http://169.254.169.254/',
    'http://[2001:db8::1]/',
    'http://127.0.0.1/',
    'http://[::1]/',
    ...Object.keys(lying).map((name) => `http://${name}/`),
    'http://elsewhere.test/',
  ];
  // The control: from the host each of them answers.
  for (const url of closed.filter((one) => /192\.0|169\.|2001|127\.0|10\.9/.test(one)))
    assert.match(host.run('busybox', 'wget', '-q', '-O', '-', url), /a page/, url);
  const script = [
    fetch('http://good.test/'),
    fetch('http://127.0.0.1:8080/'),
    fetch('http://inner.test:8080/'),
    ...closed.map(fetch),
    'timeout 5 nslookup good.test 192.0.2.1 >/dev/null 2>&1; echo "dns $?"',
    'echo tunnelled.secret | timeout 5 nc -u 192.0.2.1 53 2>&1; echo "udp $?"',
    'ping -c 1 -w 2 192.0.2.1 2>&1 | tail -n 1',
    'ls /sys/class/net; ip route; ip -6 route show table main | grep -v lo',
  ].join('\n');
  const named = ['good.test:80', '127.0.0.1:8080', 'inner.test:8080/private'];
  const allow = [...named, ...Object.keys(lying).map((name) => `${name}:80`)];
  const { stdout, stderr } = await qwardRun(guest, allow, ['sh', '-c', script]);
  const said = stdout.split('\n');
  // Named by its name, a service of the host that was named by its address, and a name that may lead into a private network.
  assert.deepEqual(
    said.slice(0, 6),
    [
      'a page of the world',
      'http://good.test/ 0',
      'a page of the host',
      'http://127.0.0.1:8080/ 0',
      'a page of the world',
      'http://inner.test:8080/ 0',
    ],
    stderr,
  );
  const rest = said.slice(6).join('\n');
  assert.doesNotMatch(rest, /a page/);
  for (const url of closed)
    assert.match(rest, new RegExp(`^${url.replaceAll(/[.[\]]/g, '\\$&')} [1-9]\\d*$`, 'm'));
  assert.match(rest, /^dns [1-9]/m);
  assert.match(rest, /^udp [1-9]/m);
  assert.doesNotMatch(rest, / 0% packet loss/);
  assert.match(stderr, /inner\.test leads to 10\.9\.9\.9, .* is written NAME:PORT\/private/);
  assert.match(rest, /^lo\n*$/m);
  assert.doesNotMatch(rest, /eth0|default/);
});

test('a guest that speaks for itself gets no other connection, and its machine is over', async () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['beyond', ['192.0.2.1:84'], /a connection that it may not have/],
    ['beyond', [], /a connection that it may not have/],
    ['word', ['192.0.2.1:84'], /a connection that it may not have/],
    ['alias', ['192.0.2.1:84'], /a connection that there cannot be/],
    ['twice', ['192.0.2.1:84'], /a connection that there cannot be/],
    ['much', ['192.0.2.1:84'], /sends more than was taken/],
  ];
  for (const [kind, allow, message] of cases) {
    const cmdline = `${hostile.cmdline} qward.hostile=${kind}`;
    const { status, stderr } = await qwardRun({ ...hostile, cmdline }, allow, ['true']);
    assert.equal(status, 255, `${kind}: ${stderr}`);
    assert.match(stderr, message, kind);
  }
  await untilNoneIsLeft(instance);
});
