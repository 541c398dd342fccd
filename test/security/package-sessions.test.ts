/** Promise 1: what the package's scripts, which run as root, do with the sessions of users, who may be hostile. Needs root. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOfUids } from '../../src/linux/process.ts';
import { sessionUser } from '../support/session.ts';

const parts = ['names', 'sessions'].map(
  (name) => new URL(`../../packaging/debian/${name}.sh`, import.meta.url).pathname,
);
const uid = 961_000_000 + randomInt(1_000_000);
const home = mkdtempSync('/run/qward-s-');
chownSync(home, uid, uid);
after(() => {
  for (const pid of processesOfUids(uid, 1)) process.kill(pid, 'SIGKILL');
  rmSync(home, { recursive: true });
});

/** Runs a script after both parts, on a host where the uid is an account. */
function sourced(script: string, account = `eve:x:${uid}:${uid}::${home}:/bin/sh`): string {
  const passwd = `cp /etc/passwd "$d/p"; echo '${account}' >>"$d/p"; mount --bind "$d/p" /etc/passwd`;
  const whole = `d=$(mktemp -d /run/qward-s-XXXXXX); mount -t tmpfs none "$d"; ${passwd}; umount --lazy "$d"; rmdir "$d"
set -e; ${parts.map((part) => `. ${part}`).join('; ')}; ${script}`;
  const words = ['--mount', '--propagation', 'private', '/bin/sh', '-c', whole];
  const { status, stdout, stderr } = spawnSync('unshare', words, {
    encoding: 'utf8',
    env: { ...process.env, SECRET: 'of-root' },
    timeout: 120_000,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('what is done for a session has its uid, and nothing of root: no terminal, environment, descriptor or output', () => {
  const look =
    '{ id -u; id -g; id -G; env; ls /proc/self/fd; cut -d " " -f 7 /proc/self/stat; } >"$1"; echo out; echo err >&2';
  const told = sourced(`exec 3>&1 7>&1; as_user ${uid} 10 '${look}' ${home}/told; echo back`);
  assert.equal(told, 'back\n');
  const seen = readFileSync(join(home, 'told'), 'utf8').split('\n');
  assert.deepEqual(seen.slice(0, 3), [String(uid), String(uid), String(uid)]);
  assert.ok(seen.includes(`HOME=${home}`) && seen.includes(`XDG_RUNTIME_DIR=/run/user/${uid}`));
  assert.ok(!seen.some((line) => line.startsWith('SECRET=')));
  // Of ls: three, and the directory. Then the terminal's number.
  assert.deepEqual(seen.slice(-6), ['0', '1', '2', '3', '0', '']);
});

test('a session that never answers, obeys no signal and holds on to what it has is not waited for', () => {
  const began = performance.now();
  sourced(
    `as_user ${uid} 1 'trap "" TERM; sleep 1000 & while :; do sleep 1; done' || true; echo "$(as_user ${uid} 5 'sleep 1000 &')"`,
  );
  assert.ok(performance.now() - began < 20_000);
});

test('an uid without an account has nothing done for it', () => {
  assert.equal(sourced(`if as_user ${uid} 5 true; then echo ran; fi`, 'other:x:1:1::/:/bin/sh'), '');
});

test('a machine of a session is known by its jail, with its user; programs that only have its name are not', async () => {
  await using user = await sessionUser({ runtime: true });
  assert.equal((await user.define({ name: 'web', disk: user.disk('web') })).status, 0);
  const { status, stderr } = await user.qward(['start', 'web'], { timeoutMs: 90_000 });
  assert.equal(status, 0, stderr);
  const list = `session_processes | grep -c ' ${user.uid} '; running_session_machines | tr ' ' '\\n' | grep -E '^(ann|eve)/'`;
  assert.equal(sourced(list, `ann:x:${user.uid}:${user.uid}::/:/bin/sh`), '3\nann/web\n');
});

test("names that a user makes put nothing on root's terminal", async () => {
  const name = 'x\u001b[2J y';
  const root = join(home, 'broker/bundles', name, 'root');
  mkdirSync(root, { recursive: true });
  for (const path of [
    '',
    'broker',
    'broker/bundles',
    `broker/bundles/${name}`,
    `broker/bundles/${name}/root`,
  ])
    chownSync(join(home, path), uid, uid);
  copyFileSync('/bin/busybox', join(root, 'busybox'));
  const program = '/qemu-system-x86';
  writeFileSync(join(root, program), '#!/busybox sh\nwhile :; do /busybox sleep 1; done\n', { mode: 0o755 });
  const jail = `mount --bind "$1" "$1" && cd "$1" && exec chroot . ${program}`;
  const as = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    'unshare',
    '-Urmpf',
    'sh',
    '-c',
    jail,
    'sh',
    root,
  ];
  spawn('setpriv', as, { stdio: 'ignore' });
  const look = (): string =>
    sourced(
      `session_processes | grep ' ${uid} '; running_session_machines | tr ' ' '\\n' | grep ^eve/ | cat -v`,
    );
  for (let tries = 0; tries < 100 && !look().includes(String(uid)); tries++) await delay(50);
  assert.match(look(), new RegExp(`^\\d+ ${uid} qemu-system-x86\\n$`));
});
