/** Sessions of two users, who are strangers to each other. Promises 2, 4 and 5: by attack, and where a wall cannot be had nothing starts. */
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { processesOfUids } from '../../src/linux/process.ts';
import type { Attempt } from '../support/as-user.ts';
import { run } from '../support/instance.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { sessionUser, titleOf, type SessionUser } from '../support/session.ts';

const uids = { ann: 961_000_001, ben: 961_000_002 } as const;
bindAccounts(Object.entries(uids).map(([name, uid]) => ({ name, uid })));
const ann = await sessionUser({ uid: uids.ann });
const ben = await sessionUser({ uid: uids.ben });
after(async () => {
  await ann[Symbol.asyncDispose]();
  await ben[Symbol.asyncDispose]();
});

async function done(user: SessionUser, words: string): Promise<string> {
  const { status, stdout, stderr } = await user.qward(words.split(' '), { timeoutMs: 90_000 });
  assert.equal(status, 0, `${words}: ${stdout}${stderr}`);
  return stdout.trim();
}

/** What became of each, tried by a process of the user's. */
async function tried(user: SessionUser, attempts: readonly Attempt[]): Promise<Record<string, string>> {
  const [node = '', quiet = '', entry = ''] = user.cli;
  const prober = entry.replace('src/cli/main.ts', 'test/support/attempts.ts');
  const outcome = await run([...user.asUser, node, quiet, prober], user.environment, {
    stdin: JSON.stringify(attempts),
  });
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout) as Record<string, string>;
}

const pidsOf = (user: SessionUser): Record<string, number> =>
  Object.fromEntries(processesOfUids(user.uid, 1).map((pid) => [titleOf(pid), pid]));

before(async () => {
  for (const user of [ann, ben]) {
    assert.equal((await user.define({ name: 'web', disk: user.disk('web') })).status, 0);
    await done(user, 'start web');
  }
});

test('another user reaches no socket, file or process of a session', async () => {
  const pids = pidsOf(ann);
  assert.deepEqual(Object.keys(pids).toSorted(), [
    '/usr/bin/qemu-system-x86_64',
    'qward-broker',
    'qward-manager',
  ]);
  const [run_, state] = [ann.run(), `${ann.home}/.local/state/qward`];
  const paths = [run_, `${run_}/machines/web`, state, `${state}/manager`, ann.home];
  const sockets = [
    'api.sock',
    'broker.sock',
    'claims.sock',
    'machines/web/qmp.sock',
    'machines/web/console.sock',
  ];
  const attempts: Attempt[] = [
    ...paths.map((path): Attempt => ({ try: 'list', path })),
    ...sockets.map((name): Attempt => ({ try: 'connect', path: `${run_}/${name}` })),
    { try: 'read', path: `${ann.home}/web.qcow2` },
    { try: 'write', path: `${ann.home}/web.qcow2` },
    { try: 'write', path: `${run_}/planted` },
    ...Object.values(pids).flatMap((pid): Attempt[] => [
      { try: 'signal', pid },
      { try: 'attach', pid },
      { try: 'memory', pid },
      { try: 'list', path: `/proc/${pid}/fd` },
      { try: 'list', path: `/proc/${pid}/root/` },
      { try: 'read', path: `/proc/${pid}/environ` },
    ]),
  ];
  for (const [what, outcome] of Object.entries(await tried(ben, attempts)))
    assert.match(outcome, /^(?:EACCES|EPERM)$/, what);
  // The same comes through for the session's own user, or the attempts would show nothing.
  const own = await tried(
    ann,
    attempts.filter((one) => one.try !== 'attach' && !(one.try === 'write')),
  );
  for (const [what, outcome] of Object.entries(own)) {
    // QEMU is done with its one client; its memory is the kernel's to give to who made its user namespace.
    if (!/machines\/web\/.*sock/.test(what)) assert.equal(outcome, 'done', what);
  }
});

test('each sees the own machines alone', async () => {
  for (const user of [ann, ben]) {
    assert.equal(await done(user, 'list -q'), 'web');
    const { pid } = JSON.parse(await done(user, 'audit web --json')) as { readonly pid: number };
    assert.equal(pid, pidsOf(user)['/usr/bin/qemu-system-x86_64']);
  }
});

test('two machines of one user cannot see or touch one another', async () => {
  assert.equal((await ann.define({ name: 'db', disk: ann.disk('db') })).status, 0);
  await done(ann, 'start db');
  assert.equal(await done(ann, 'stop web'), 'web: shut down');
  // The drill of the one has the other beside it, of the same uid.
  const drill = JSON.parse(await done(ann, 'drill web --json')) as {
    readonly ok: boolean;
    readonly rows: readonly { readonly probe: string; readonly verdict: string }[];
  };
  assert.equal(drill.ok, true);
  for (const probe of [
    'signal-process',
    'trace',
    'read-memory-of-process',
    'see-process',
    'image-by-path',
    'file-of-a-process',
  ])
    assert.equal(drill.rows.find((row) => row.probe === probe)?.verdict, 'blocked', probe);
  const namespaces = (pid: number): string => readlinkSync(`/proc/${pid}/ns/user`);
  const qemus = [...processesOfUids(ann.uid, 1)].filter((pid) => titleOf(pid).includes('qemu'));
  await done(ann, 'start web');
  const all = processesOfUids(ann.uid, 1).filter((pid) => titleOf(pid).includes('qemu'));
  assert.equal(qemus.length, 1);
  assert.equal(new Set(all.map(namespaces)).size, 2);
});

test('a place that another made is not used', async () => {
  await done(ann, 'kill --all --yes');
  for (const pid of processesOfUids(ann.uid, 1)) process.kill(pid, 'SIGKILL');
  const link = `${ann.home}/.local/state/qward/run`;
  const before = readlinkSync(link);
  // The directory that the link leads to is gone with a reboot, and then made by another user.
  rmSync(before, { recursive: true });
  const made = await run([...ben.asUser, '/bin/mkdir', '-m', '0700', before], ben.environment);
  assert.equal(made.status, 0, made.stderr);
  assert.equal(await done(ann, 'list -q'), 'db\nweb');
  assert.notEqual(ann.run(), before);
  const { uid, mode } = lstatSync(ann.run());
  assert.deepEqual([uid, mode & 0o777], [ann.uid, 0o700]);
  assert.deepEqual(readdirSync(before), []);
  rmSync(before, { recursive: true });
});

test('a state directory that is open to others, or a link to another user’s, is refused with the cure', async () => {
  const state = `${ben.home}/.local/state/qward`;
  await done(ben, 'kill web');
  for (const pid of processesOfUids(ben.uid, 1)) process.kill(pid, 'SIGKILL');
  chmodSync(state, 0o755);
  const open = await ben.qward(['list']);
  assert.notEqual(open.status, 0);
  assert.match(open.stderr, /is not yours alone[\s\S]*mode 0700/);
  chmodSync(state, 0o700);
  const elsewhere = `${ben.home}/elsewhere`;
  symlinkSync(`${ann.home}/.local/state`, elsewhere);
  const foreign = await run([...ben.asUser, ...ben.cli, '--session', 'list'], {
    ...ben.environment,
    XDG_STATE_HOME: elsewhere,
  });
  assert.notEqual(foreign.status, 0);
  assert.match(foreign.stderr, /cannot be made|not yours alone/);
});

test('where users can make no user namespace nothing starts, and the refusal names the switch', async () => {
  // A namespace in which no other can be made: what a host has with user.max_user_namespaces=0.
  const inside = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
  const words = [
    '/usr/bin/unshare',
    '--user',
    '--map-current-user',
    '--keep-caps',
    '/bin/sh',
    '-c',
    inside,
    'sh',
  ];
  const drop = ['/usr/bin/setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--'];
  const qward = (...rest: string[]) =>
    run([...ben.asUser, ...words, ...drop, ...ben.cli, '--session', ...rest], ben.environment, {
      timeoutMs: 90_000,
    });
  const started = await qward('start', 'web');
  assert.notEqual(started.status, 0);
  assert.match(started.stderr, /no user make a user namespace[\s\S]*sysctl user\.max_user_namespaces/);
  const doctor = await qward('doctor');
  assert.equal(doctor.status, 1);
  assert.match(doctor.stdout, /user namespaces/);
  assert.equal(
    processesOfUids(ben.uid, 1).some((pid) => titleOf(pid).includes('qemu')),
    false,
  );
});
