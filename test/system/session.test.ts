/** An ordinary user's own machines, with no part of qward running as root. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOfUids } from '../../src/linux/process.ts';
import { run } from '../support/instance.ts';
import { sessionUser, titleOf } from '../support/session.ts';
import { sendKill } from '../support/send-kill.ts';

const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());

const deadlineMs = 90_000;

async function done(words: string): Promise<string> {
  const { status, stdout, stderr } = await user.qward(words.split(' '), { timeoutMs: deadlineMs });
  assert.equal(status, 0, `${words}: ${stdout}${stderr}`);
  return stdout.trim();
}

async function until<Found>(
  look: () => Found | undefined | Promise<Found | undefined>,
  what: string,
): Promise<Found> {
  for (const giveUpAt = performance.now() + deadlineMs; ; await delay(50)) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > giveUpAt) throw new Error(`not within ${deadlineMs / 1000} s: ${what}`);
  }
}

const shows = (machine: string, text: RegExp): Promise<string> =>
  until(async () => {
    const { stdout } = await user.qward(['console', '--log', machine]);
    return text.test(stdout) ? stdout : undefined;
  }, `${machine}: ${text.source}`);

interface Audit {
  readonly pid: number;
  readonly ok: boolean;
  readonly rows: readonly { readonly wall: string; readonly verdict: string; readonly found: string }[];
}

const auditOf = async (machine: string): Promise<Audit> =>
  JSON.parse(await done(`audit ${machine} --json`)) as Audit;

function fieldOf(pid: number, name: string): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
}

test('the first command brings the session up, and it says so what it is', async () => {
  const info = JSON.parse(await done('info --json')) as Record<string, unknown>;
  assert.equal(info['instance'], 'session');
  assert.equal(info['role'], 'administrator');
  assert.equal(info['uid'], user.uid);
});

test('a user defines, starts, looks at, drills and stops a machine from files that only the user can read', async () => {
  const disk = user.disk('web');
  const defined = await user.define({ name: 'web', disk });
  assert.equal(defined.status, 0, defined.stderr);
  assert.match(defined.stdout, /may read and write \S+web\.qcow2 with your rights/);
  assert.equal(await done('start web'), 'web: started');
  await shows('web', /qward-demo: ready/);
  const audit = await auditOf('web');
  assert.equal(audit.ok, true);
  const verdicts = Object.fromEntries(audit.rows.map(({ wall, verdict }) => [wall, verdict]));
  assert.equal(verdicts['user-namespace'], 'ok');
  assert.equal(verdicts['groups'], 'ok');
  // What a user without cgroups cannot have is said, and nothing else is missing.
  const missing = Object.keys(verdicts).filter((wall) => verdicts[wall] === 'missing');
  assert.deepEqual(missing.filter((wall) => wall !== 'lsm').sort(), ['cgroup', 'device-cgroup']);
  assert.equal(await done('stop web'), 'web: shut down');
  const drill = JSON.parse(await done('drill web --json')) as {
    readonly ok: boolean;
    readonly rows: readonly { readonly probe: string; readonly verdict: string }[];
  };
  assert.equal(drill.ok, true);
  const open = drill.rows.filter(({ verdict }) => verdict !== 'blocked').map(({ probe }) => probe);
  assert.deepEqual(open, ['memory'], 'memory alone has no limit without a cgroup');
  for (const probe of ['reopen-for-writing', 'threads', 'change-mode'])
    assert.ok(
      drill.rows.some((row) => row.probe === probe),
      probe,
    );
});

test('no process of a session is root, has a capability or can get one', async () => {
  await done('start web');
  const { pid } = await auditOf('web');
  const names = processesOfUids(user.uid, 1).map(titleOf);
  assert.deepEqual(names.toSorted(), ['/usr/bin/qemu-system-x86_64', 'qward-broker', 'qward-manager']);
  for (const one of processesOfUids(user.uid, 1)) {
    assert.equal(fieldOf(one, 'Uid'), Array(4).fill(user.uid).join('\t'), titleOf(one));
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.match(fieldOf(one, set), /^0+$/, `${titleOf(one)}: ${set}`);
    assert.equal(fieldOf(one, 'NoNewPrivs'), '1', titleOf(one));
  }
  assert.equal(
    readdirSync(`/proc/${pid}/task`).every((tid) => fieldOf(Number(tid), 'Seccomp') === '2'),
    true,
  );
});

test('killed manager, broker, both: the machine goes on, is taken over, and every file is as it was', async () => {
  const { pid } = await auditOf('web');
  for (const names of [['manager'], ['broker'], ['manager', 'broker']] as const) {
    for (const name of names)
      sendKill(
        // A broker without a request ends; the next one brings it back.
        await until(async () => {
          await user.qward(['audit', 'web']);
          return user.daemon(name);
        }, `a ${name}`),
      );
    const audit = await until(
      async () => {
        const { status, stdout } = await user.qward(['audit', 'web', '--json']);
        return status === 0 ? (JSON.parse(stdout) as Audit) : undefined;
      },
      `audit after the end of ${names.join(' and ')}`,
    );
    assert.equal(audit.pid, pid, names.join(' and '));
    assert.equal(audit.ok, true, names.join(' and '));
  }
  assert.equal(await done('stop web'), 'web: shut down');
  assert.deepEqual(readdirSync(`${user.run()}/machines`), []);
  assert.deepEqual(readdirSync(`${user.run()}/broker/bundles`), []);
});

test('a killed QEMU is told, and its machine starts again', async () => {
  await done('start web');
  const { pid } = await auditOf('web');
  process.kill(pid, 'SIGKILL');
  await until(async () => ((await user.qward(['status', 'web'])).status === 0 ? undefined : true), 'its end');
  assert.match(await done('logs web'), /SIGKILL|killed/);
  await done('start web');
  assert.notEqual((await auditOf('web')).pid, pid);
  assert.equal(await done('kill web'), 'web: killed');
});

test('many at once bring up one manager', async () => {
  for (const name of ['manager', 'broker'] as const) {
    const pid = user.daemon(name);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  }
  await until(() => (processesOfUids(user.uid, 1).length === 0 ? true : undefined), 'the end of all');
  const outcomes = await Promise.all(Array.from({ length: 6 }, () => user.qward(['list', '-q'])));
  for (const { status, stdout, stderr } of outcomes) assert.equal(`${status} ${stdout}`, '0 web\n', stderr);
  await until(() => {
    const managers = processesOfUids(user.uid, 1).filter((pid) => titleOf(pid) === 'qward-manager');
    return managers.length === 1 && processesOfUids(user.uid, 1).length === 2 ? true : undefined;
  }, 'one manager and one broker');
});

test('with nothing to do all of it ends, and with a machine that runs it stays', async () => {
  const roots = [
    '--config-dir',
    `${user.home}/c`,
    '--run-dir',
    `${user.home}/r`,
    '--state-dir',
    `${user.home}/s`,
  ];
  const [node = '', quiet = '', entry = ''] = user.cli;
  const program = entry.replace('cli/main.ts', 'manager/main.ts');
  const manager = [...user.asUser, node, quiet, program, '--session', '--idle', '1', ...roots];
  const [first = '', ...rest] = manager;
  const child = spawn(first, rest, { env: user.environment, stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const socket = `${user.home}/r/api.sock`;
  const there = (words: readonly string[]) =>
    run([...user.asUser, ...user.cli, '--socket', socket, ...words], user.environment);
  await until(() => (existsSync(socket) ? true : undefined), 'its socket');
  const source = `${user.home}/web.yaml`;
  assert.equal((await there(['define', source])).status, 0);
  const started = await there(['start', 'web']);
  assert.equal(started.status, 0, started.stderr);
  await delay(3000);
  assert.equal(child.exitCode, null, 'a machine runs');
  assert.equal((await there(['kill', 'web'])).status, 0);
  assert.equal(await ended, 0);
  assert.equal(existsSync(socket), false);
  await until(
    () =>
      processesOfUids(user.uid, 1).filter((pid) => titleOf(pid) === 'qward-broker').length <= 1
        ? true
        : undefined,
    'the end of its broker',
  );
});

test('root has no session', async () => {
  const [node = '', quiet = '', entry = ''] = user.cli;
  const { status, stderr } = await run([...user.cli, '--session', 'list'], user.environment);
  assert.notEqual(status, 0);
  assert.match(stderr, /root has no session/);
  for (const name of ['broker', 'manager']) {
    const outcome = await run(
      [node, quiet, entry.replace('cli/main.ts', `${name}/main.ts`), '--session'],
      user.environment,
    );
    assert.notEqual(outcome.status, 0, name);
    assert.match(outcome.stderr, /root/, name);
  }
});

test('list --all-instances shows the own machines, says which instance does not answer, and info which is the default', async () => {
  const [node = '', quiet = '', entry = ''] = user.cli;
  const all = await run(
    [...user.asUser, node, quiet, entry, 'list', '--all-instances', '--json'],
    user.environment,
  );
  assert.equal(all.status, 0, all.stderr);
  const machines = JSON.parse(all.stdout) as readonly { readonly name: string; readonly instance: string }[];
  assert.ok(machines.some(({ name, instance }) => name === 'web' && instance === 'session'));
  if (!existsSync('/run/qward/api.sock')) assert.match(all.stderr, /the system instance does not answer/);
  assert.match(
    await done('info'),
    /default\s+(?:system|session) instance \(.*\/etc\/qward\/instances\.json\)/,
  );
  const both = await run([...user.asUser, ...user.cli, '--session', '--system', 'list'], user.environment);
  assert.equal(both.status, 2);
});

test('a network card of kind user: passt in a jail of its own, as the user, and what it cannot close is said', async () => {
  const defined = await user.define({ name: 'net', more: 'nics:\n  - {id: net0, kind: user}' });
  assert.equal(defined.status, 0, defined.stderr);
  assert.equal(await done('start net'), 'net: started');
  const passt = processesOfUids(user.uid, 1).filter((pid) => titleOf(pid).includes('passt'));
  assert.equal(passt.length, 1);
  for (const pid of passt) assert.equal(fieldOf(pid, 'NoNewPrivs'), '1');
  assert.match(await done('audit net'), /network-namespace\s+missing[^\n]*a user has no packet filter/);
  await done('kill net');
  assert.deepEqual(
    processesOfUids(user.uid, 1).filter((pid) => titleOf(pid).includes('passt')),
    [],
  );
});

// The session takes no start after it.
test('what the user lets start is started by one command, as the user’s own systemd gives it', async () => {
  await done('autostart on web');
  assert.match(await done('autostart list'), /web/);
  const started = await user.qward(['host', 'start-machines'], { timeoutMs: deadlineMs });
  assert.equal(started.status, 0, started.stdout + started.stderr);
  assert.equal((await auditOf('web')).ok, true);
  const stopped = await user.qward(['host', 'stop-machines'], { timeoutMs: deadlineMs });
  assert.equal(stopped.status, 0, stopped.stdout + stopped.stderr);
  assert.deepEqual(readdirSync(`${user.run()}/machines`), []);
  await done('autostart off web');
});
