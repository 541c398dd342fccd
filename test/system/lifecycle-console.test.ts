/** The serial console by the real CLI: watchers, the one writer, what was missed, and leaving it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { consoleShows, defineBare, defineDemo, done, refused, remains, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { gone } from '../support/small-machine.ts';
import { startTimeOf } from '../../src/linux/process.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

interface Attached extends AsyncDisposable {
  readonly type: (text: string) => void;
  /** Resolves when this was written to standard output or standard error since the last call. */
  readonly says: (text: string) => Promise<void>;
  readonly ended: Promise<number | null>;
  /** What was written since. */
  readonly unread: () => string;
}

const limitMs = 30_000;

/** The CLI with pipes, or with `script` on a terminal of its own. */
function attach(words: readonly string[], { terminal = false } = {}): Attached {
  const [program = '', ...args] = [...instance.program, 'console', ...words];
  const quoted = [program, ...args].map((word) => `'${word}'`).join(' ');
  const child = terminal
    ? spawn('script', ['--quiet', '--return', '--command', quoted, '/dev/null'], {
        env: instance.environment,
      })
    : spawn(program, args, { env: instance.environment });
  let unread = '';
  let wake = (): void => undefined;
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => {
      unread += piece.toString('latin1');
      wake();
    });
  let isOver = false;
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (status) => {
      isOver = true;
      wake();
      resolve(status);
    });
  });
  const says = async (text: string): Promise<void> => {
    const deadline = setTimeout(() => child.kill('SIGKILL'), limitMs);
    while (!unread.includes(text)) {
      if (isOver) throw new Error(`console ${words.join(' ')} ended without "${text}": ${unread}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    clearTimeout(deadline);
    unread = unread.slice(unread.indexOf(text) + text.length);
  };
  return {
    type: (text) => child.stdin.write(text),
    says,
    ended,
    unread: () => unread,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

before(async () => {
  await defineDemo(instance, { name: 'web' });
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /ready[\s\S]*# /);
});

test('what the writer types reaches the guest, and every watcher sees what comes of it', async () => {
  await using one = attach(['--watch', 'web']);
  await using two = attach(['--watch', 'web']);
  await using writer = attach(['web']);
  for (const { says } of [one, two, writer]) await says('qward-demo: ready');
  assert.equal((await statusOf(instance, 'web')).consoleWriter, 'root');
  writer.type('echo $((40 + 2))-seen\n');
  await Promise.all([one, two, writer].map(({ says }) => says('42-seen')));
  one.type('echo $((40 + 3))-typed\n');
  writer.type('echo $((40 + 4))-typed\n');
  await Promise.all([one, two].map(({ says }) => says('44-typed')));
  assert.doesNotMatch(await done(instance, 'console --log web'), /43-typed/);
});

test('one client writes; a second is refused with the cure, or takes the right over', async () => {
  await using writer = attach(['web']);
  await writer.says('44-typed');
  assert.match(
    await refused(instance, 'console web'),
    /^root writes to the console of machine "web"\n {2}watch it with --watch, or take it with --steal$/,
  );
  await using thief = attach(['--steal', '--no-replay', 'web']);
  await writer.says('[qward: ');
  thief.type('echo $((50 + 1))-stolen\n');
  await writer.says('51-stolen');
  writer.type('echo $((50 + 2))-stolen\n');
  thief.type('echo $((50 + 3))-stolen\n');
  await writer.says('53-stolen');
  assert.doesNotMatch(await done(instance, 'console --log web'), /52-stolen/);
});

test('on a terminal the key detaches, the machine goes on, and what was missed is shown at the next time', async () => {
  {
    await using first = attach(['web'], { terminal: true });
    await first.says('Attached to web; Ctrl-] detaches.');
    await first.says('53-stolen');
    first.type('(sleep 1; echo $((60 + 1))-missed) &\r');
    await first.says('missed');
    first.type('\u001d');
    await first.says('Detached from web; it goes on.');
    assert.equal(await first.ended, 0);
  }
  assert.equal((await statusOf(instance, 'web')).consoleWriter, null);
  await consoleShows(instance, 'web', '61-missed');
  await using second = attach(['--watch', 'web']);
  await second.says('61-missed');
});

test('across a restart of the manager a console goes on where it was, asked to end or killed', async () => {
  await using writer = attach(['web']);
  await writer.says('61-missed');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const manager = instance.daemon('manager');
    const startTime = startTimeOf(manager) ?? 0;
    process.kill(manager, signal);
    await gone(manager, startTime);
    await writer.says('waiting for the next one]');
    await instance.up();
    await writer.says('attached again');
    writer.type(`echo $((70 + 1))-after-${signal}\n`);
    await writer.says(`71-after-${signal}`);
  }
  assert.equal((await statusOf(instance, 'web')).consoleWriter, 'root');
  // What was shown before is not shown again.
  assert.doesNotMatch(writer.unread(), /qward-demo: ready|61-missed/);
  const { ended } = writer;
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await writer.says('waiting for the next one]');
  await instance.up();
  await writer.says('attached again');
  await done(instance, 'kill web');
  assert.equal(await ended, 0);
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /61-missed[\s\S]*ready[\s\S]*# /);
});

test('a console ends with its machine, and its scroll-back outlives both', async () => {
  await using watcher = attach(['--watch', 'web']);
  await watcher.says('61-missed');
  await done(instance, 'kill web');
  await watcher.says('[qward: ');
  assert.equal(await watcher.ended, 0);
  assert.match(await done(instance, 'console --log web'), /61-missed/);
  assert.match(await refused(instance, 'console web'), /^machine "web" does not run/);
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a machine without a console says so', async () => {
  await defineBare(instance, 'mute', 'console: false');
  await done(instance, 'start mute');
  assert.match(
    await refused(instance, 'console mute', { status: 2 }),
    /^machine "mute" has no serial console\n {2}set `console: true` in its definition$/,
  );
  await done(instance, 'kill mute');
});
