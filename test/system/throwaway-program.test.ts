/** Throwaway machines from TypeScript: commands and files of one, and fifty at once, of which nothing is left whatever is killed. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { RunOptions } from '../../src/api/throwaway/open-throwaway.ts';
import { RunFault } from '../../src/api/throwaway/run-fault.ts';
import { checkout } from '../support/checkout.ts';
import { addGuestRunner } from '../support/guest-runner.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess, rememberNoKvm } from '../support/small-machine.ts';
import { throwawaysLeft, untilNoneIsLeft } from '../support/throwaways.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const many = 50;
/** Guests that come up under TCG, beside whatever else the host does. */
const timeout = 1_800_000;
let options: RunOptions = {};

before(() => {
  rememberNoKvm(instance);
  const { kernel, initrd, cmdline } = addGuestRunner(
    instance.guest,
    join(instance.paths.images, 'initrd-runner.cpio'),
  );
  options = {
    image: instance.disk('base'),
    kernel,
    initrd,
    cmdline,
    memory: '144MiB',
    definition: { accel: 'tcg' },
  };
});

test('one machine runs many commands, and takes and gives files', async () => {
  const progress: string[] = [];
  await using machine = await instance.client.run({
    ...options,
    onProgress: ({ notice }) => progress.push(notice),
  });
  assert.deepEqual(progress, ['named', 'starting', 'started', 'ready']);
  const shell = (script: string, more: Parameters<typeof machine.exec>[1] = {}) =>
    machine.exec(['sh', '-c', script], more);
  const outcome = await shell('cat; echo $A >&2; pwd; exit 3', {
    input: 'in',
    env: { A: 'b' },
    cwd: '/proc',
  });
  assert.deepEqual(
    { ...outcome, stdout: outcome.stdout.toString(), stderr: outcome.stderr.toString() },
    { code: 3, signal: null, stdout: 'in/proc\n', stderr: 'b\n' },
  );
  const bytes = randomBytes(3_000_001);
  await machine.writeFile('/deep/er/file', bytes, 0o600);
  assert.ok((await machine.readFile('/deep/er/file')).equals(bytes));
  await assert.rejects(machine.readFile('/no/such'), /no\/such.*[Nn]o such file/);
  await assert.rejects(machine.readFile('/deep/er/file', 1000), RangeError);
  await assert.rejects(machine.exec(['/no/such']), /could not be run/);
  const answers = await Promise.all(Array.from({ length: 10 }, (_, at) => shell(`sleep 0.1; echo ${at}`)));
  assert.deepEqual(
    answers.map(({ stdout }) => stdout.toString()),
    answers.map((_, at) => `${at}\n`),
  );
  const sleeping = machine.spawn(['sleep', '1000']);
  sleeping.kill(15);
  assert.deepEqual(await sleeping.exit, { code: null, signal: 15 });
  // A process that is left behind holds nothing up.
  assert.equal((await shell('sleep 1000 & echo started')).stdout.toString(), 'started\n');
  await assert.rejects(shell('sleep 1000', { signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' });
  assert.match((await machine.copyOut('/deep')).toString('latin1'), /^deep\//);
  const terminal = machine.spawn(['sh', '-c', 'stty size; read word; echo "<$word>"'], {
    terminal: { rows: 30, columns: 100 },
  });
  await terminal.write(Buffer.from('typed\n'));
  let shown = '';
  for await (const part of terminal.stdout) shown += Buffer.from(part).toString();
  assert.match(shown, /30 100\r\n[^]*<typed>\r\n$/);
});

test('a machine that is over is told so to every command, and one that is refused is told with its cure', async () => {
  const machine = await instance.client.run({ ...options, ttlMs: 60_000 });
  const sleeping = machine.exec(['sleep', '1000']);
  const killed = await instance.client.call('kill', { name: machine.name });
  assert.ok(killed.ok);
  await assert.rejects(sleeping, new RegExp(`${machine.name}: `));
  await assert.rejects(machine.exec(['true']), /killed|ended/);
  await machine[Symbol.asyncDispose]();
  await assert.rejects(instance.client.run({ image: '/etc/shadow' }), (error) => {
    assert.ok(error instanceof RunFault);
    assert.notEqual(error.faults[0]?.hint ?? '', '');
    return true;
  });
  const late = AbortSignal.timeout(500);
  await assert.rejects(instance.client.run({ ...options, signal: late }), { name: 'TimeoutError' });
  await untilNoneIsLeft(instance);
});

function program(): ChildProcess & { readonly heard: () => string } {
  const file = join(checkout, 'test/support/fifty-machines.ts');
  const words = ['--disable-warning=ExperimentalWarning', file, String(many), JSON.stringify(options)];
  const child = spawn(process.execPath, words, {
    env: instance.environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
  return Object.assign(child, { heard: () => text });
}

async function untilAnswered(child: ReturnType<typeof program>, count: number): Promise<void> {
  const closed = once(child, 'close').then(() => assert.fail(`it ended: ${child.heard()}`));
  while (child.heard().split('sum ').length <= count)
    await Promise.race([once(child.stdout ?? child, 'data'), closed]);
  closed.catch(() => undefined);
}

test(`${many} at once all answer, each in its turn, and nothing is left`, { timeout }, async () => {
  const child = program();
  const [status] = (await once(child, 'close')) as [number];
  const sums = [...child.heard().matchAll(/^sum (\d+)$/gm)].map((match) => Number(match[1]));
  assert.equal(status, 0, child.heard());
  assert.deepEqual(
    sums.sort((one, other) => one - other),
    Array.from({ length: many }, (_, index) => 2 * (index + 1)),
  );
  assert.deepEqual(await throwawaysLeft(instance), []);
});

test('the program is killed in the middle of it: nothing is left', { timeout }, async () => {
  const child = program();
  await untilAnswered(child, 3);
  child.kill('SIGKILL');
  await once(child, 'close');
  await untilNoneIsLeft(instance);
});

test(
  'manager and broker are killed in the middle of it: nothing is left once they are back',
  { timeout },
  async () => {
    const child = program();
    await untilAnswered(child, 3);
    const closed = once(child, 'close') as Promise<[number]>;
    await killProcess(instance.daemon('manager'));
    await killProcess(instance.daemon('broker'));
    assert.deepEqual((await closed)[0], 1);
    await instance.up();
    await untilNoneIsLeft(instance);
  },
);
