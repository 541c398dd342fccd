import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sshAddress } from './ssh-address.ts';
import { sshConfig, sshHost, sshUser, sshWords, type SshTarget } from './ssh-words.ts';

const forward = (address: string, port: number, to = 22, protocol = 'tcp') => ({
  address,
  port,
  to,
  protocol,
});
const machine = (nics: Parameters<typeof sshAddress>[0]['nics'], address?: string) =>
  sshAddress({ name: 'web', nics, autostart: { address } });

test('a forward to port 22 comes first, then the address', () => {
  const forwards = [
    forward('127.0.0.1', 2280, 80),
    forward('127.0.0.1', 5022, 22, 'udp'),
    forward('0.0.0.0', 2222),
  ];
  const user = { id: 'lan', kind: 'user', forward: forwards };
  assert.deepEqual(machine([user], '192.0.2.1'), { host: '127.0.0.1', port: 2222 });
  assert.deepEqual(machine([{ ...user, forward: [forward('::', 2222)] }]), { host: '::1', port: 2222 });
  assert.deepEqual(machine([{ id: 'lan', kind: 'bridge' }], '192.0.2.1'), { host: '192.0.2.1', port: 22 });
});

test('the piece that is missing is named, with its cure', () => {
  const missing = (...parts: Parameters<typeof machine>): string => {
    const found = machine(...parts);
    return 'message' in found ? `${found.message}; ${found.hint}` : '';
  };
  assert.match(missing([]), /has no network card; give it one: .*kind: user/);
  assert.match(
    missing([{ id: 'lan', kind: 'user', forward: [] }]),
    /no forward to port 22.*at the card "lan"/,
  );
  assert.match(
    missing([{ id: 'lan', kind: 'bridge' }]),
    /address of machine "web" is not known; say it: --address/,
  );
});

const target: SshTarget = {
  host: '127.0.0.1',
  port: 2222,
  user: 'debian',
  identity: '/home/a b/.ssh/id%d',
  knownHosts: '/home/a b/known_hosts',
  hostKeyAlias: 'web.qward',
  known: true,
};

test('a guest whose key is known must show it, and is given nothing of the user', () => {
  const words = sshWords(target, ['ls', '-l']).join(' ');
  for (const part of [
    'StrictHostKeyChecking=yes',
    'ForwardAgent=no',
    'ForwardX11=no',
    'HostKeyAlias=web.qward',
    'GlobalKnownHostsFile=/dev/null',
  ])
    assert.ok(words.includes(`-o ${part}`), part);
  assert.match(words, /-o IdentityFile="\/home\/a b\/\.ssh\/id%%d"/);
  assert.match(words, / -- 127\.0\.0\.1 ls -l$/);
  assert.match(sshWords({ ...target, known: false }, []).join(' '), /StrictHostKeyChecking=accept-new/);
  assert.match(
    sshConfig(target),
    /^Host web\.qward\n {2}HostName 127\.0\.0\.1\n {2}Port 2222\n {2}User debian\n/,
  );
});

test('no user and no address is an option or more than a word', () => {
  for (const word of ['-oProxyCommand=x', '', 'a b', 'a;b', 'a`b`', 'a\nb', '$(x)', 'a%h'])
    assert.ok(!sshUser.test(word) && !sshHost.test(word), word);
  for (const word of ['192.0.2.1', 'fd00::1', 'web.example.org']) assert.ok(sshHost.test(word), word);
});
