/** `qward run`: a command in a throwaway machine, its streams and its end, and that nothing is left whatever is killed. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { addGuestRunner } from '../support/guest-runner.ts';
import { startInstance, type CommandOutcome, type RunOptions } from '../support/instance.ts';
import { killProcess, rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft, throwawayThatRuns, untilNoneIsLeft } from '../support/throwaways.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const base = instance.disk('base');
const here = (name: string): string => join(instance.directory, name);
const sumOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const untouched = sumOf(base);
let boot: readonly string[] = [];

before(() => {
  rememberNoKvm(instance);
  const guest = addGuestRunner(instance.guest, join(instance.paths.images, 'initrd-runner.cpio'));
  boot = [
    '--kernel',
    guest.kernel,
    '--initrd',
    guest.initrd,
    '--cmdline',
    guest.cmdline,
    '--memory',
    '128MiB',
  ];
});

const qwardRun = (words: readonly string[], options: RunOptions = {}): Promise<CommandOutcome> =>
  instance.qward(['run', base, ...boot, ...words], { timeoutMs: 90_000, ...options });

/** One whose guest never comes up: there is nothing to boot. */
const bare = ['run', base, '--memory', '32MiB'] as const;

/** The command line, to be killed. */
function begin(words: readonly string[]): ChildProcess {
  const [program = '', ...first] = instance.program;
  return spawn(program, [...first, ...words], {
    env: instance.environment,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

test('streams go through, with environment, files and place, and the exit status is the command’s', async () => {
  mkdirSync(here('work/sub'), { recursive: true });
  writeFileSync(here('work/sub/a file'), 'of the host\n');
  writeFileSync(here(`work/${'long-name-'.repeat(12)}`), 'long\n');
  symlinkSync('sub/a file', here('work/link'));
  const script =
    'pwd; cat link; cat long-name-*; echo $COLOUR; wc -c; echo err >&2; ' +
    'echo spoilt >/dev/vda; sync; head -c 7 /dev/vda; exit 7';
  const words = ['--env', 'COLOUR=red and blue', '--copy', here('work'), '--', 'sh', '-c', script];
  const input = 'x'.repeat(1_000_000);
  const outcome = await qwardRun(words, { stdin: input });
  const stdout = ['/work', 'of the host', 'long', 'red and blue', '1000000', 'spoilt', ''].join('\n');
  assert.deepEqual(outcome, { status: 7, stdout, stderr: 'err\n' });
  assert.equal(sumOf(base), untouched, 'what the guest wrote is not in the image');
  assert.deepEqual(await throwawaysLeft(instance), [], 'nothing is left when the command line ends');
});

test('what is written comes at once, in both directions, and the manager’s death ends the guest too', async () => {
  const child = begin([
    'run',
    base,
    ...boot,
    '--',
    'sh',
    '-c',
    'echo first; read line; echo "got $line"; sleep 1000',
  ]);
  const heard = lines(child);
  assert.equal((await heard.next()).value, 'first');
  child.stdin?.write('hello\n');
  assert.equal((await heard.next()).value, 'got hello');
  const machine = await throwawayThatRuns(instance);
  assert.match(machine.description, /base\.qcow2: sh -c echo first/);
  assert.deepEqual(machine.tags, ['throwaway']);
  const { stdout } = await instance.qward(['audit', machine.name]);
  assert.match(stdout, /walls stand/);
  const ended = once(child, 'close');
  await killProcess(instance.daemon('manager'));
  assert.deepEqual(await ended, [255, null]);
  // The runner in the guest sees that nobody is there any more, and switches it off: no manager is up.
  for (let times = 0; machine.alive(); times += 1) {
    assert.ok(times < 300, 'the guest of a dead manager goes on');
    await delay(100);
  }
  await instance.up();
  await untilNoneIsLeft(instance);
});

test('a command that cannot be run, or that a signal ends, is told as such', async () => {
  const missing = await qwardRun(['/no/such/program']);
  assert.equal(missing.status, 255);
  assert.match(missing.stderr, /could not be run: .*No such file/);
  const outcome = await qwardRun(['sh', '-c', 'kill -9 $$']);
  assert.equal(outcome.status, 128 + 9, outcome.stderr);
});

test('its time ends it', async () => {
  const outcome = await instance.qward([...bare, '--ttl', '2s', 'true']);
  assert.equal(outcome.status, 255);
  assert.match(outcome.stderr, /its time is over \(2 s\)/);
  assert.deepEqual(await throwawaysLeft(instance), []);
});

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const)
  test(`${signal} for the command line ends the machine`, async () => {
    const child = begin([...bare, 'true']);
    const machine = await throwawayThatRuns(instance);
    const ended = once(child, 'close');
    child.kill(signal);
    const [status, by] = (await ended) as [number | null, string | null];
    assert.deepEqual([status, by], signal === 'SIGKILL' ? [null, signal] : [130, null]);
    await untilNoneIsLeft(instance);
    assert.equal(machine.alive(), false);
  });

test('when its QEMU is killed, that is said, and nothing is left', async () => {
  const child = begin([...bare, 'true']);
  const { pid } = await throwawayThatRuns(instance);
  const ended = once(child, 'close');
  let complaint = '';
  child.stderr?.on('data', (piece: Buffer) => (complaint += piece.toString()));
  await killProcess(pid);
  assert.deepEqual(await ended, [255, null]);
  assert.match(complaint, /SIGKILL|killed/);
  await untilNoneIsLeft(instance);
});

test('a manager that is killed leaves nothing to the next one', async () => {
  const child = begin([...bare, 'true']);
  const machine = await throwawayThatRuns(instance);
  const ended = once(child, 'close');
  await killProcess(instance.daemon('manager'));
  await ended;
  assert.equal(machine.alive(), true, 'a guest that is not up does not hear of it');
  await instance.up();
  await untilNoneIsLeft(instance);
  assert.equal(machine.alive(), false);
});

test('when the broker is killed, the rest goes as soon as there is one again', async () => {
  const child = begin([...bare, 'true']);
  await throwawayThatRuns(instance);
  await killProcess(instance.daemon('broker'));
  child.kill('SIGKILL');
  await once(child, 'close');
  await instance.up();
  await untilNoneIsLeft(instance);
});

test('what cannot be is refused before anything is made', async () => {
  for (const [words, status, fault] of [
    [['run', 'nonesuch', 'true'], 255, /no image "nonesuch" here\n.*qward image add/],
    [['run', '/no/such.qcow2', 'true'], 255, /no\/such\.qcow2/],
    [['run', '/etc/passwd', 'true'], 255, /outside the storage roots/],
    [['run', base, '--memory', 'much', 'true'], 2, /--memory: a size/],
    [['run', base, '--memory', '64TiB', 'true'], 255, /memory/],
    [['run', base, '--env', 'no', 'true'], 2, /NAME=VALUE expected/],
    [['run', base, '--copy', '/no/such', 'true'], 2, /--copy: \/no\/such/],
    [['run', base, '--net', 'bridge', 'true'], 2, /--net: .* is not one of none, user, allow=/],
    [['run', base], 2, /COMMAND is missing/],
  ] as const) {
    const outcome = await instance.qward(words);
    assert.equal(outcome.status, status, `${words.join(' ')}: ${outcome.stderr}`);
    assert.match(outcome.stderr, fault, words.join(' '));
  }
  const { status, stderr } = await instance.qward(['define', '-'], { stdin: 'name: throwaway-mine\n' });
  assert.deepEqual([status, /is qward's own/.test(stderr)], [2, true], stderr);
  assert.deepEqual(await throwawaysLeft(instance), []);
  assert.equal(sumOf(base), untouched);
});

/** Lines of its standard output. */
async function* lines(child: ChildProcess): AsyncGenerator<string, void> {
  let text = '';
  for await (const piece of child.stdout ?? []) {
    text += String(piece);
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
