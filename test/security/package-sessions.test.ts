/** Promise 1: what the package's scripts, which run as root, do with the sessions of users, who may be hostile. Needs root. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
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

const eve = `eve:x:${uid}:${uid}::${home}:/bin/sh`;
const asEve = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];

const withAccount = (account: string): string =>
  `d=$(mktemp -d /run/qward-s-XXXXXX); mount -t tmpfs none "$d"; cp /etc/passwd "$d/p"; echo '${account}' >>"$d/p"
mount --bind "$d/p" /etc/passwd; umount --lazy "$d"; rmdir "$d"; set -e; ${parts.map((part) => `. ${part}`).join('; ')}`;

/** Runs a script after both parts, on a host where the uid is an account. */
function sourced(script: string, account = eve): string {
  return outputOf('unshare', [
    '--mount',
    '--propagation',
    'private',
    '/bin/sh',
    '-c',
    `${withAccount(account)}; ${script}`,
  ]);
}

function outputOf(program: string, words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, {
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

/** Without what has ended and is only not yet waited for. */
const alive = (): number[] => processesOfUids(uid, 1).filter((pid) => existsSync(`/proc/${pid}/exe`));

test('what a script started does not outlive its time, and has none of the keys of who runs the package', () => {
  const before = alive();
  sourced(`as_user ${uid} 1 'sleep 1000 & cat /proc/keys >${home}/keys; trap "" TERM; sleep 1000' || true`);
  assert.deepEqual(alive(), before);
  const keys = readFileSync(join(home, 'keys'), 'utf8');
  assert.match(keys, / keyring +_ses: empty\n/);
});

/** A systemd of its own as pid 1 of namespaces. */
const boot = `mount --make-rprivate /
for d in /run /tmp /var/log /var/lib/systemd /etc/systemd/system; do mount -t tmpfs none $d; done
mount -t proc proc /proc; umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && mkdir -p /run/lock
exec env -i container=lxc SYSTEMD_UNIFIED_CGROUP_HIERARCHY=1 /lib/systemd/systemd --system --unit=basic.target`;

test("where systemd is, a script has cgroup, keyring and audit id of the user's, and ends whole", async () => {
  const hierarchy = / (\/\S+) cgroup2 /.exec(readFileSync('/proc/mounts', 'utf8'))?.[1] ?? '';
  const cgroup = `${hierarchy}/qward-t-${uid}`;
  mkdirSync(cgroup);
  const words = ['-fpmiuC', '--kill-child', 'sh', '-c', boot];
  const enter = `echo 0 >"$0/cgroup.procs"; exec "$@"`;
  const host = spawn('sh', ['-c', enter, cgroup, 'unshare', ...words], { stdio: 'ignore' });
  const ended = once(host, 'exit');
  try {
    const children = (): string => readFileSync(`/proc/${host.pid}/task/${host.pid}/children`, 'utf8').trim();
    const inHost = (script: string): string =>
      outputOf('nsenter', ['-t', children(), '-m', '-p', '-i', '-u', '-C', 'sh', '-c', script]);
    for (let tries = 0; tries < 300; tries++) {
      if (children() !== '' && inHost('systemctl is-active basic.target || true') === 'active\n') break;
      await delay(100);
    }
    const script = `${withAccount(eve)}; mkdir ${home}; chown ${uid}:${uid} ${home}
as_user ${uid} 10 'cat /proc/self/cgroup /proc/keys /proc/self/loginuid >"$HOME/told"; setsid sleep 1000 & exit 0'
as_user ${uid} 10 'echo "$#" "$1" >"$HOME/words"' 12
as_user ${uid} 1 'trap "" TERM; setsid sleep 1000 & while :; do sleep 1; done' || echo late
pgrep sleep || echo none
service=forking; as_user ${uid} 10 'setsid sleep 1000 & exit 0'; cat /proc/$(pgrep sleep)/cgroup ${home}/words ${home}/told`;
    const told = inHost(script);
    assert.match(told, /^late\nnone\n/);
    assert.equal(
      told.match(new RegExp(`^0::/user.slice/user-${uid}.slice/run-\\w+.service$`, 'gm'))?.length,
      2,
    );
    assert.match(told, /^1 12$/m);
    assert.match(told, /^4294967295/m);
    assert.match(told, new RegExp(` ${uid} +${uid} keyring +_ses: 1$`, 'm'));
  } finally {
    host.kill('SIGKILL');
    await ended;
    for (let tries = 0; tries < 100 && existsSync(cgroup); tries++) {
      spawnSync('find', [cgroup, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']);
      await delay(100);
    }
  }
});

test('an uid without an account has nothing done for it', () => {
  assert.equal(sourced(`if as_user ${uid} 5 true; then echo ran; fi`, 'other:x:1:1::/:/bin/sh'), '');
});

test('an account whose name is the digits of another uid has nothing done as that', () => {
  const accounts = `${eve}\n${uid}:x:${uid + 1}:${uid + 1}::/:/bin/sh`;
  assert.equal(sourced(`if as_user ${uid} 5 true; then echo ran; fi`, accounts), '');
});

test("a manager's places are paths of one line: a newline in one runs nothing", () => {
  const before = alive();
  const words = `HOME=${home}\nsh\n-c\ntouch ${home}/injected`;
  const fake = spawn('setpriv', [...asEve, 'sleep', '1000'], {
    env: {
      HOME: words,
      XDG_STATE_HOME: '/a b',
      XDG_DATA_HOME: 'x',
      XDG_CONFIG_HOME: '/x\u001b',
      PATH: '/usr/bin',
    },
    stdio: 'ignore',
  });
  const told = sourced(`eval "$places"; places ${fake.pid}`);
  assert.equal(told, 'XDG_STATE_HOME=/a b\n');
  sourced(`as_user ${uid} 10 "$restart_session" ${fake.pid} || true`);
  assert.deepEqual([existsSync(join(home, 'injected')), alive()], [false, before]);
});

test("a user's thousands of daemons are ended at once, and the list of machines is short", () => {
  const many = `i=0; while [ $i -lt 1500 ]; do i=$((i + 1)); echo "${uid} $i"; done`;
  assert.equal(
    sourced(`session_machines() { ${many} | sed 's/$/ 1/'; }; running_session_machines`).slice(-30),
    'eve/18 eve/19 eve/20 and 1480 more '.slice(-30),
  );
  const began = performance.now();
  sourced(`as_user() { sleep 1; }; kill_of_users "$(${many}; echo '1 1')"`);
  assert.ok(performance.now() - began < 10_000);
});

test('where not all processes can be looked at there is no list, and more than a command line holds are no matter', () => {
  const hosts = [
    'mount -t tmpfs none /proc',
    'xargs() { return 127; }',
    'xargs() { command xargs "$@"; return 1; }',
  ];
  for (const host of hosts)
    assert.doesNotMatch(sourced(`${host}; if session_processes; then echo seen; fi`), /seen/);
  assert.equal(
    sourced(`d=$(mktemp -d); mount -t tmpfs none "$d"; mount --move "$d" /proc; rmdir "$d"; mkdir -p /proc/1
printf 'Name:\\tqward-manager\\nUid:\\t${uid}\\t1\\nNSpid:\\t1\\n' >/proc/1/status
seq 200000 299999 | sed 's,^,/proc/,' | xargs mkdir; session_processes`),
    `1 ${uid} qward-manager\n`,
  );
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
  const as = [...asEve, 'unshare', '-Urmpf', 'sh', '-c', jail, 'sh', root];
  spawn('setpriv', as, { stdio: 'ignore' });
  const look = (): string =>
    sourced(
      `session_processes | grep ' ${uid} '; running_session_machines | tr ' ' '\\n' | grep ^eve/ | cat -v`,
    );
  for (let tries = 0; tries < 100 && !look().includes(String(uid)); tries++) await delay(50);
  assert.match(look(), new RegExp(`^\\d+ ${uid} qemu-system-x86\\n$`));
});
