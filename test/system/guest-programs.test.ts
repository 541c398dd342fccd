/** Programs, files and the clock of a guest, by Debian's qemu-ga and the real CLI. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { untilAgentAnswers } from '../support/agent-shell.ts';
import { consoleShows, defineBare, defineDemo, done, refused } from '../support/driver.ts';
import { addGuestAgent } from '../support/guest-agent.ts';
import { startInstance, type CommandOutcome } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const here = (name: string): string => join(instance.directory, name);

before(async () => {
  const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));
  await defineDemo(instance, { name: 'web', guest, switches: 'qward.qemu-ga', more: 'agent: true' });
  await defineBare(instance, 'mute', 'agent: true');
  await defineBare(instance, 'deaf');
  await done(instance, 'start web mute deaf');
  await consoleShows(instance, 'web');
  await untilAgentAnswers(instance, 'web');
});

const exec = (...words: readonly string[]): Promise<CommandOutcome> => instance.qward(['exec', ...words]);
const shell = (script: string): Promise<CommandOutcome> => exec('web', '/bin/sh', '-c', script);

test('a program runs in the guest: its outputs and its exit status come back, each where it belongs', async () => {
  assert.deepEqual(await shell('echo out; echo err >&2; exit 7'), {
    status: 7,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  assert.deepEqual(await exec('web', '/bin/busybox', 'echo', '--json', '-x', 'a b', '$HOME'), {
    status: 0,
    stdout: '--json -x a b $HOME\n',
    stderr: '',
  });
  assert.equal((await shell('kill -9 $$')).status, 128 + 9);
  assert.match((await exec('web', 'uname', '-r')).stdout, /^6\.\d+\.\d+/);
});

test('it gets its environment and its standard input, and nothing of this host', async () => {
  const { stdout } = await exec('-E', 'COLOUR=red and blue', 'web', '/bin/busybox', 'env');
  assert.match(stdout, /^COLOUR=red and blue$/m);
  assert.doesNotMatch(stdout, /QWARD|SUDO/);
  const typed = await instance.qward(['exec', '-i', 'web', '/bin/busybox', 'wc', '-c'], {
    stdin: 'x'.repeat(100_000),
  });
  assert.equal(typed.stdout.trim(), '100000');
});

test('what cannot be run, does not end, or says too much ends in a clear error, and the next is run', async () => {
  const missing = await exec('web', '/bin/no-such-program');
  assert.equal(missing.status, 255);
  assert.match(missing.stderr, /no such file|not found|failed to execute/i);
  const slow = await instance.qward(['exec', '--timeout', '300ms', 'web', '/bin/busybox', 'sleep', '1000']);
  assert.equal(slow.status, 255);
  assert.match(slow.stderr, /runs on as process \d+ of the guest; it had not ended within 0\.3 s/);
  const long = await shell('dd if=/dev/zero bs=1M count=12 2>/dev/null | tr "\\0" x');
  assert.equal(long.status, 255);
  assert.match(long.stderr, /a line of more than 4194304 bytes/);
  assert.equal((await shell('echo again')).stdout, 'again\n');
  assert.match((await exec('-E', 'no', 'web', 'true')).stderr, /NAME=VALUE expected, not "no"/);
});

test('many programs at once each get their own answer', async () => {
  const numbers = Array.from({ length: 12 }, (_, index) => String(index));
  const outcomes = await Promise.all(numbers.map((number) => shell(`echo ${number}`)));
  assert.deepEqual(
    outcomes.map(({ stdout }) => stdout.trim()),
    numbers,
  );
});

test('a file goes in and comes out as it was, and none is replaced by accident', async () => {
  const bytes = randomBytes(700_001);
  const sum = createHash('md5').update(bytes).digest('hex');
  writeFileSync(here('in.bin'), bytes);
  assert.equal(await done(instance, ['cp', here('in.bin'), 'web:/tmp/']), 'web:/tmp/in.bin: 683.6KiB');
  assert.equal((await exec('web', '/bin/busybox', 'md5sum', '/tmp/in.bin')).stdout, `${sum}  /tmp/in.bin\n`);
  assert.equal(
    await done(instance, ['cp', 'web:/tmp/in.bin', here('out.bin')]),
    `${here('out.bin')}: 683.6KiB`,
  );
  assert.ok(readFileSync(here('out.bin')).equals(bytes));
  writeFileSync(here('kept'), 'mine');
  assert.match(
    await refused(instance, ['cp', 'web:/tmp/in.bin', here('kept')]),
    /is there already\n.*--force/,
  );
  assert.equal(readFileSync(here('kept'), 'utf8'), 'mine');
  await done(instance, ['cp', '--force', 'web:/tmp/in.bin', here('kept')]);
  assert.ok(readFileSync(here('kept')).equals(bytes));
  writeFileSync(here('empty'), '');
  await done(instance, ['cp', here('empty'), 'web:/tmp/empty']);
  await done(instance, ['cp', 'web:/tmp/empty', here('empty2')]);
  assert.equal(readFileSync(here('empty2'), 'utf8'), '');
});

test('what cannot be copied is said, and nothing of it stays here', async () => {
  for (const [words, fault] of [
    [['web:/no/such', here('x')], /\/no\/such: .*No such file/i],
    [[here('no-such'), 'web:/tmp/x'], /no-such: no such file or directory/],
    [[instance.directory, 'web:/tmp/x'], /is no file\n.*tar/],
    [[here('empty'), 'web:/no/such/x'], /No such file/i],
    [['wbe:/tmp/x', here('x')], /no machine "wbe"\n.*Did you mean "web"/],
  ] as const) {
    const { status, stderr } = await instance.qward(['cp', ...words]);
    assert.notEqual(status, 0, words.join(' '));
    assert.match(stderr, fault);
  }
  assert.match(await refused(instance, ['cp', 'web:/a', 'web:/b'], { status: 2 }), /must be in a guest/);
  assert.deepEqual(
    readdirSync(instance.directory).filter((name) => /^x|part/.test(name)),
    [],
  );
});

test('a client that dies in the middle of a file leaves the agent to the others', async () => {
  const [program = '', ...first] = instance.program;
  writeFileSync(here('big'), randomBytes(8_000_000));
  const child = spawn(program, [...first, 'cp', here('big'), 'web:/tmp/big'], {
    env: instance.environment,
    stdio: 'ignore',
  });
  await new Promise((resolve) => setTimeout(resolve, 700));
  child.kill('SIGKILL');
  assert.equal((await shell('echo still here')).stdout, 'still here\n');
});

test('freeze, thaw and the clock', async () => {
  assert.match(await done(instance, 'freeze web'), /^web: \d+ file systems frozen$/);
  assert.match(await done(instance, 'thaw web'), /^web: \d+ file systems thawed$/);
  await shell('date -s 2001-01-01');
  assert.match(await done(instance, 'time-sync web'), /^web: 20\d\d-/);
  const seconds = Number((await shell('date +%s')).stdout);
  assert.ok(Math.abs(seconds - Date.now() / 1000) < 120, String(seconds));
  assert.match(await done(instance, 'guest web'), /^agent +7\.2[^]*kernel +6\./);
});

test('without a channel, an agent or the right it is said which is missing', async () => {
  assert.match((await exec('deaf', 'true')).stderr, /has no channel for a guest agent\n.*agent: true/);
  const mute = await exec('mute', 'true');
  assert.equal(mute.status, 255);
  assert.match(mute.stderr, /did not answer within 10 s\n.*qemu-guest-agent/);
  const uid = 65_534;
  await done(instance, `grant web ${uid} console`);
  for (const words of [
    ['exec', 'web', 'true'],
    ['cp', 'web:/etc/passwd', here('stolen')],
    ['freeze', 'web'],
    ['guest', 'web'],
  ]) {
    const outcome = await instance.qward(words, { uid });
    assert.match(outcome.stderr, /right "guest"|has not the right/i, `${words.join(' ')}: ${outcome.stderr}`);
  }
  assert.equal(existsSync(here('stolen')), false);
  await done(instance, `grant web ${uid} guest`);
  assert.equal((await instance.qward(['exec', 'web', '/bin/busybox', 'echo', 'hi'], { uid })).stdout, 'hi\n');
});
