/** `qward run` in an ordinary user's session: from the user's own image, with no root anywhere, and nothing left. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chownSync, readdirSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOfUids } from '../../src/linux/process.ts';
import { addGuestRunner } from '../support/guest-runner.ts';
import { sessionUser } from '../support/session.ts';
import { sendKill } from '../support/send-kill.ts';

const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());
const initrd = join(user.home, 'initrd-runner.cpio');
const guest = addGuestRunner(user.guest, initrd);
chownSync(initrd, user.uid, user.uid);
const base = user.disk('base');
const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--cmdline', guest.cmdline];
const words = ['run', base, ...boot, '--memory', '144MiB', '--'];

/** QEMUs of the user's that run. */
function qemus(): readonly string[] {
  const programs = processesOfUids(user.uid, 1).map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0] ?? '';
    } catch {
      return '';
    }
  });
  return programs.filter((program) => program.includes('qemu'));
}

/** The same, and what of the session's state tells of a throwaway machine. */
function left(): readonly string[] {
  const state = join(user.home, '.local/state/qward');
  const files = readdirSync(state, { recursive: true, encoding: 'utf8' });
  const registers = files
    .filter((file) => /(?:claims|slots)\.json$/.test(file))
    .map((file) => readFileSync(join(state, file), 'utf8'));
  return [...[...files, ...registers].filter((text) => text.includes('throwaway-')), ...qemus()];
}

test('a command runs in a machine of the user’s own, and nothing of it is left', async () => {
  const outcome = await user.qward([...words, 'sh', '-c', 'cat; exit 5'], {
    stdin: 'through\n',
    timeoutMs: 120_000,
  });
  assert.deepEqual(outcome, { status: 5, stdout: 'through\n', stderr: '' });
  assert.deepEqual(left(), []);
});

test('when the session’s manager is killed, the guest is gone without another, and the rest with the next', async () => {
  const [program, ...first] = [
    ...user.asUser,
    ...user.cli,
    '--session',
    ...words,
    'sh',
    '-c',
    'echo up; sleep 1000',
  ];
  const child = spawn(program, first, { env: user.environment, stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  const ended = once(child, 'close');
  sendKill(user.daemon('manager'));
  assert.deepEqual(await ended, [255, null]);
  for (let times = 0; qemus().length > 0; times += 1) {
    assert.ok(times < 300, `the guest of a dead manager goes on: ${left().join(', ')}`);
    await delay(100);
  }
  assert.equal((await user.qward(['list'])).status, 0);
  for (let times = 0; left().length > 0; times += 1) {
    if (times > 200) assert.deepEqual(left(), []);
    await delay(100);
  }
});
