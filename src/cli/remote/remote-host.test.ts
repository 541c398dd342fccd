import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { parseRemoteHost, sshArguments, sshArgumentsThere } from './remote-host.ts';

function argumentsOf(text: string, quiet = false): string[] {
  const host = parseRemoteHost(text);
  if (typeof host === 'string') assert.fail(host);
  return sshArguments(host, quiet);
}

test('user, host, port and socket become words of their own behind the options', () => {
  const behind = (text: string): string[] => {
    const words = argumentsOf(text);
    return words.slice(words.indexOf('RemoteCommand=none') + 1);
  };
  const command = ['qward', 'dial-stdio'];
  assert.deepEqual(behind('ssh://db1'), ['--', 'db1', ...command]);
  assert.deepEqual(behind('db1'), ['--', 'db1', ...command]);
  assert.deepEqual(behind('ssh://anna@db1.example.org:2222'), [
    '-p',
    '2222',
    '-l',
    'anna',
    '--',
    'db1.example.org',
    ...command,
  ]);
  assert.deepEqual(behind('anna@corp.example@db1'), ['-l', 'anna@corp.example', '--', 'db1', ...command]);
  assert.deepEqual(behind('ssh://[fe80::1%eth0]:22'), ['-p', '22', '--', 'fe80::1%eth0', ...command]);
  assert.deepEqual(behind('ssh://db1/run/other/api.sock'), [
    '--',
    'db1',
    ...command,
    '--socket',
    '/run/other/api.sock',
  ]);
});

test('what ssh or a shell could take for more than a host is refused', () => {
  const shell = Array.from(' ;|&$`\'"\n\0%()\\<>*?#~!{}=,', (character) => `a${character}b`);
  const options = ['-oProxyCommand=id', 'ssh://-oProxyCommand=id', '-v@db1', 'a@-v'];
  const malformed = [
    '',
    'ssh://',
    'ssh://@db1',
    'http://db1',
    'ssh://db1:0',
    'ssh://db1:65536',
    'ssh://db1:x',
    'ssh://[::1',
  ];
  const others = ['ssh://db1/a b', 'ssh://db1/$(id)', 'ssh://[x]', 'db1\n', `a${'b'.repeat(300)}`];
  const hostile = [...shell, ...options, ...malformed, ...others];
  for (const text of hostile) assert.equal(typeof parseRemoteHost(text), 'string', JSON.stringify(text));
});

test('where somebody presses Tab nothing is asked', () => {
  assert.ok(argumentsOf('db1', true).includes('BatchMode=yes'));
  assert.ok(!argumentsOf('db1').includes('BatchMode=yes'));
});

test('a command that runs there is one word to ssh, in which the login shell reads nothing but words', () => {
  const host = parseRemoteHost('ssh://anna@db1/run/other/api.sock');
  if (typeof host === 'string') assert.fail(host);
  const words = [
    'create',
    '--disk=20G',
    '--',
    "it's",
    String.raw`\'; exit #`,
    'a\\',
    '$(id)',
    'a b',
    '',
    '=ls',
    '~',
    'a;b\nc',
  ];
  const given = sshArgumentsThere(host, false, words);
  assert.deepEqual(given.slice(0, 1), ['-T']);
  assert.equal(sshArgumentsThere(host, true, words)[0], '-t');
  assert.deepEqual(given.slice(-3, -1), ['--', 'db1']);
  const script = `qward() { printf '<%s>' "$@"; }\n${given.at(-1) ?? ''}`;
  assert.equal(
    execFileSync('sh', ['-c', script], { encoding: 'utf8' }),
    ['--socket=/run/other/api.sock', ...words].map((word) => `<${word}>`).join(''),
  );
  // Between quotes fish takes `\\` for an escape: there is none there.
  const pieces = (given.at(-1) ?? '').match(/'[^']*'|\\.|[^'\\]+/g) ?? [];
  assert.equal(pieces.join(''), given.at(-1));
  for (const piece of pieces) if (piece.startsWith("'")) assert.doesNotMatch(piece, /\\/);
  const plain = parseRemoteHost('ssh://db1');
  if (typeof plain === 'string') assert.fail(plain);
  assert.equal(sshArgumentsThere(plain, false, ['image', 'list']).at(-1), 'qward --host= image list');
});
