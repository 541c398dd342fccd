/**
 * Promises 2 and 4: a hook is the administrator's own file, named by the policy, and whatever it does reaches nothing but its
 * output. A manager that was taken over chooses neither the program nor what its jail shows.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, test } from 'node:test';
import { findCgroupMounts } from '../../src/jail/cgroups.ts';
import { unlessMissing } from '../../src/linux/errno.ts';
import { sweepJobs } from '../../src/manager/disks/sweep-jobs.ts';
import { runHook } from '../../src/manager/hooks/run-hook.ts';
import type { BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { traces } from '../support/broker.ts';
import { footprintOf, unchanged } from '../support/broker-footprint.ts';
import { hookLaunch, startHookBench } from '../support/hooks.ts';

const bench = await startHookBench();
after(() => bench[Symbol.asyncDispose]());
const { broker } = bench;

/** A user of the host without any role. */
const stranger = 910_100_009;
const good = '#!/bin/sh\necho it ran\n';

async function launch(request: LaunchRequest): Promise<string> {
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: request });
  if (!reply.ok)
    return reply.refusals.map(({ code, rule, message }) => `${code} ${rule}: ${message}`).join('\n');
  await broker.ask({ v: 1, call: 'kill', machine: request.machine });
  return 'launched';
}

async function nothingIsLeft(): Promise<void> {
  assert.deepEqual(traces(broker.site), []);
  const status = await broker.ask<BrokerStatus>({ v: 1, call: 'status' });
  assert.ok(status.ok);
  assert.deepEqual([status.result.slots, status.result.machines], [[], []]);
}

test('a hook runs with its event and machine, and nothing of it is left', async () => {
  await bench.run('true');
  const before = footprintOf(broker);
  const report = await bench.run('echo "$# $1 $2 $(id -u)"; echo second; exit 0', { event: 'stop' });
  assert.deepEqual(report.outcome, { ok: true, value: undefined });
  const [first = '', second] = report.lines;
  assert.match(first, /^2 stop web \d{9,}$/);
  assert.equal(second, 'second');
  await unchanged(broker, before);
  await nothingIsLeft();
});

interface Attack {
  readonly what: string;
  /** Makes the file and gives the path that the policy names. */
  readonly make: () => string;
  readonly expected: RegExp;
}

const attacks: readonly Attack[] = [
  {
    what: 'a file that others can write',
    make: () => changed('others', 0o757),
    expected: /others than root can write .*hooks\/others$/m,
  },
  {
    what: 'a file that its group can write',
    make: () => changed('group', 0o775),
    expected: /others than root can write .*hooks\/group$/m,
  },
  {
    what: "a user's file",
    make: () => {
      const path = bench.write('users', good);
      chownSync(path, stranger, 0);
      return path;
    },
    expected: new RegExp(`belongs to uid ${stranger}`),
  },
  {
    what: 'a link',
    make: () => {
      const path = `${bench.directory}/link`;
      symlinkSync(bench.write('behind', good), path);
      return path;
    },
    expected: /a link is neither/,
  },
  {
    what: 'a link on the way',
    make: () => {
      bench.write('behind', good);
      symlinkSync(bench.directory, `${broker.site.roots.config}/way`);
      return `${broker.site.roots.config}/way/behind`;
    },
    expected: /etc\/way is no regular file, or no directory; a link is neither/,
  },
  {
    what: 'a directory in which others can write',
    make: () => inDirectory('shared', 0o777),
    expected: /others than root can write .*\/shared$/m,
  },
  {
    what: 'a directory like /tmp',
    make: () => inDirectory('sticky', 0o1777),
    expected: /others than root can write .*\/sticky$/m,
  },
  {
    what: "a user's directory",
    make: () => {
      const path = inDirectory('home', 0o755);
      chownSync(`${bench.directory}/home`, stranger, 0);
      return path;
    },
    expected: new RegExp(`home belongs to uid ${stranger}`),
  },
  { what: 'a directory', make: () => bench.directory, expected: /no regular file/ },
  {
    what: 'a FIFO',
    make: () => {
      execFileSync('mkfifo', ['-m', '0755', `${bench.directory}/fifo`]);
      return `${bench.directory}/fifo`;
    },
    expected: /no regular file/,
  },
  { what: 'a device', make: () => '/dev/null', expected: /no regular file/ },
  {
    what: 'a file that only root may execute',
    make: () => changed('private', 0o700),
    expected: /not everybody may read and execute/,
  },
  { what: 'no file', make: () => `${bench.directory}/missing`, expected: /missing is missing/ },
];

function changed(name: string, mode: number): string {
  const path = bench.write(name, good);
  chmodSync(path, mode);
  return path;
}

function inDirectory(name: string, mode: number): string {
  mkdirSync(`${bench.directory}/${name}`);
  const path = bench.write(`${name}/hook`, good);
  chmodSync(`${bench.directory}/${name}`, mode);
  return path;
}

test("a hook that is not root's alone is refused, with the rule and the cure, and does not run", async (context) => {
  for (const { what, make, expected } of attacks) {
    await context.test(what, async () => {
      bench.name({ tried: make() });
      const { lines, outcome } = await runHook(bench.services, {
        hook: 'tried',
        machine: 'web',
        event: 'start',
      });
      assert.ok(!outcome.ok);
      const [fault] = outcome.faults;
      assert.deepEqual([fault?.code, fault?.rule, lines], ['policy-refused', 'hooks', []]);
      assert.match(fault?.message ?? '', expected);
      assert.notEqual(fault?.hint, '');
      await nothingIsLeft();
    });
  }
});

test('a hook that the policy does not name is refused, by the manager and by the broker', async () => {
  const path = bench.write('unnamed', good);
  bench.name({});
  const { outcome } = await runHook(bench.services, { hook: 'unnamed', machine: 'web', event: 'start' });
  assert.ok(!outcome.ok);
  assert.equal(outcome.faults[0]?.rule, 'hooks');
  assert.match(
    await launch(hookLaunch(path)),
    /^policy-refused hooks: .* is not a hook that the policy lists$/,
  );
  await nothingIsLeft();
});

test('a taken-over manager chooses neither program, nor root, nor descriptors, nor environment', async (context) => {
  const path = bench.write('named', good);
  bench.name({ named: path });
  assert.equal(await launch(hookLaunch(path)), 'launched');
  const file = { kind: 'file', path: `${broker.images}/x`, access: 'rw', claimant: null } as const;
  const root = [{ source: '/usr/bin/perl', target: '/usr/bin/perl' }];
  const forged: Readonly<Record<string, Partial<LaunchRequest>>> = {
    'another program of root': { binary: '/usr/bin/dash' },
    'a QEMU': { binary: '/usr/bin/qemu-system-x86_64' },
    'the same file by another path': { binary: `${bench.directory}/../hooks/named` },
    "the prober's place": { binary: '/hook' },
    'the hook as a QEMU': { program: 'qemu', root: [{ source: path, target: path }] },
    'the hook as an image tool': { program: 'qemu-img', root },
    'a root of its own': { root },
    'a part of /etc': { root: [{ source: '/etc/shadow', target: '/usr/share/shadow' }] },
    'a socket': { descriptors: [{ kind: 'socket', name: 'qmp' }] },
    'a disk': { descriptors: [{ ...file, reopened: false }] },
    'a network card': { descriptors: [{ kind: 'tap', bridge: 'br0' }] },
    'a device': { devices: ['/dev/kvm'] },
    'a library to load first': { env: { LD_PRELOAD: '/usr/lib/evil.so' } },
    'a path to search': { env: { PATH: '/dev' } },
    'a shell to source': { env: { ENV: '/hook' } },
    'an option': { argv: ['-c', 'id'] },
    'a command after the words': { argv: ['start; id', 'web'] },
    'a substitution': { argv: ['start', '$(id)'] },
    'a second line': { argv: ['start', 'web\nid'] },
    'an empty word': { argv: ['start', ''] },
    'many words': { argv: ['start', 'web', 'a', 'b', 'c'] },
    "a machine's name": { machine: 'web' },
    'more memory than any machine': { limits: { ...hookLaunch(path).limits, memory: 2 ** 50 } },
    'more processes than any machine': { limits: { ...hookLaunch(path).limits, pids: 65_536 } },
  };
  for (const [what, change] of Object.entries(forged)) {
    await context.test(what, async () => {
      assert.match(await launch(hookLaunch(path, change)), /^policy-refused /);
      await nothingIsLeftOf(change.machine);
    });
  }
});

/** A machine's name keeps its uid where it was refused late; none is, here. */
async function nothingIsLeftOf(machine: string | undefined): Promise<void> {
  if (machine === undefined) await broker.ask({ v: 1, call: 'forget', machine: hookLaunch('/').machine });
  await nothingIsLeft();
}

/** perl is in every Debian: `syscall` makes any call, by its number of x86-64. */
const errnoOf = (...calls: readonly (readonly [string, number, ...number[]])[]): string =>
  calls
    .map(
      ([name, ...args]) =>
        `perl -e '$r = syscall(${args.join(', ')}); print "${name} ", ($r < 0 ? $!+0 : "done"), "\\n"'`,
    )
    .join('\n');

test('a hook makes no call that leads out of its jail', async () => {
  const calls = [
    ['socket', 41, 1, 1, 0],
    ['socket', 41, 2, 1, 0],
    ['socketpair', 53, 1, 1, 0, 0],
    ['ptrace', 101, 16, 1, 0, 0],
    ['mount', 165, 0, 0, 0, 0, 0],
    ['umount2', 166, 0, 0],
    ['unshare', 272, 0x1000_0000],
    ['setns', 308, 3, 0],
    ['clone', 56, 0x1000_0011, 0, 0, 0, 0],
    ['clone', 56, 0x2_0011, 0, 0, 0, 0],
    ['bpf', 321, 0, 0, 0],
    ['keyctl', 250, 0, 0, 0, 0, 0],
    ['add_key', 248, 0, 0, 0, 0, 0],
    ['userfaultfd', 323, 0],
    ['perf_event_open', 298, 0, 0, 0, 0, 0],
    ['io_uring_setup', 425, 1, 0],
    ['init_module', 175, 0, 0, 0],
    ['process_vm_readv', 310, 1, 0, 0, 0, 0, 0],
    ['pidfd_open', 434, 1, 0],
    ['chroot', 161, 0],
    ['pivot_root', 155, 0, 0],
    ['setuid', 105, 0],
    ['setgroups', 116, 0, 0],
    ['capset', 126, 0, 0],
    ['mknod', 133, 0, 0, 0],
    ['open_by_handle_at', 304, 0, 0, 0],
    ['setrlimit', 160, 0, 0],
    ['prctl', 157, 38, 0, 0, 0, 0],
    ['ioctl', 16, 0, 0x5412, 0],
    ['memfd_create', 319, 0, 0],
    ['reboot', 169, 0, 0, 0, 0],
    ['personality', 135, 0],
  ] as const;
  const { lines, outcome } = await bench.run(`${errnoOf(...calls)}\nunshare -Ur true`);
  assert.ok(!outcome.ok, 'unshare failed, and was the last command');
  const [EPERM, asked] = [1, lines.slice(0, calls.length)];
  assert.deepEqual(
    asked,
    calls.map(([name]) => `${name} ${EPERM}`),
  );
});

test('a hook sees the operating system and itself, reads no secret and writes nowhere', async () => {
  const script = [
    'echo root: $(cd /; echo *)',
    'for place in /etc/shadow /etc/passwd /home /root /run /run/qward /var /var/lib/qward /tmp /srv /sys /boot; do',
    '  test -e $place && echo there: $place; done',
    'for place in / /usr /usr/bin /usr/lib /dev /proc /proc/self /dev/pts /dev/shm /dev/mqueue; do',
    '  (echo x > $place/qward-mark) 2>/dev/null && echo wrote: $place; done',
    '(echo x > /hook) 2>/dev/null && echo wrote: /hook',
    '(echo x > /dev/sda) 2>/dev/null && echo wrote: disk',
    "test -r /proc/1/environ && tr '\\0' ' ' < /proc/1/environ",
    'echo',
    "sed -n 's/^Cap...:[^0-9a-f]*/cap /p; s/^NoNewPrivs:[^0-9]*/nnp /p; s/^Groups:[^0-9]*/groups /p' /proc/self/status",
    'echo net: $(sed -n "s/:.*//p" /proc/self/net/dev)',
  ];
  const { lines, outcome } = await bench.run(script.join('\n'));
  assert.ok(outcome.ok, JSON.stringify([outcome, lines]));
  const { named, env } = {
    named: lines.filter((line) => !line.startsWith('PATH')),
    env: lines.find((line) => line.startsWith('PATH')) ?? '',
  };
  assert.deepEqual(named, [
    'root: bin dev hook lib lib64 proc sbin usr',
    'groups ',
    ...['', '', '', '', ''].map(() => 'cap 0000000000000000'),
    'nnp 1',
    'net: lo',
  ]);
  assert.match(env, /^PATH=\/usr\/sbin:\/usr\/bin (?:HOME=\/ )?$/);
});

test('a hook ends no process but its own, and outlives its time by none', async () => {
  const bystander = spawn('/usr/bin/sleep', ['600'], { stdio: 'ignore' });
  try {
    const { outcome, lines } = await bench.run(
      `kill -9 ${bystander.pid} 2>&1; kill -9 1; kill -9 $PPID; kill -9 -1; echo after; kill -9 $$; echo never`,
    );
    assert.ok(!outcome.ok);
    // The shell around it is process 1 of the namespace, which no signal from within ends.
    assert.match(outcome.faults[0]?.message ?? '', /ended with status 137$/);
    assert.equal(lines.includes('after') && !lines.includes('never'), true, lines.join('\n'));
    assert.equal(bystander.exitCode ?? bystander.signalCode, null);
  } finally {
    bystander.kill('SIGKILL');
  }
  const begun = performance.now();
  const late = await bench.run('trap "" TERM INT HUP; echo waits; while :; do sleep 1; done', {
    timeoutMs: 1500,
  });
  assert.ok(!late.outcome.ok);
  assert.deepEqual([late.outcome.faults[0]?.code, late.lines], ['timed-out', ['waits']]);
  assert.match(late.outcome.faults[0]?.message ?? '', /did not end within 1\.5 s, and was killed/);
  assert.ok(performance.now() - begun < 20_000);
  await nothingIsLeft();
});

test('what a hook leaves in the background goes with it', async () => {
  const { outcome } = await bench.run('sleep 601 & setsid sleep 602 & exit 0');
  assert.ok(outcome.ok);
  await nothingIsLeft();
});

/** As the kernel counts them: lists of pids are read one after another, while processes come and go. */
function processesNow(cgroup: string): number {
  const counts = findCgroupMounts().mounts.map(({ path }) => {
    const file = `${path}${cgroup}/pids.current`;
    return Number(unlessMissing(() => readFileSync(file, 'latin1'), ['ENOENT', 'ENODEV']) ?? 0);
  });
  return Math.max(...counts);
}

test('a hook that makes processes, memory or output without end meets its limits', async () => {
  const bomb = bench.run(`perl -e 'for (;;) { fork // select(undef, undef, undef, 0.05) }'`, {
    timeoutMs: 3000,
  });
  let most = 0;
  const over = new AbortController();
  const watched = (async () => {
    for (; !over.signal.aborted; await delay(20))
      for (const job of bench.services.running)
        most = Math.max(most, processesNow(`${broker.site.cgroupParent}/${job}`));
  })();
  const { outcome } = await bomb;
  over.abort();
  await watched;
  assert.ok(!outcome.ok);
  // The kernel counts one more for a moment before it refuses it.
  assert.ok(most > 16 && most <= 33, `${most} processes at once`);
  await nothingIsLeft();

  const large = await bench.run(`perl -e '$x = "a" x (512 << 20); print length $x'`);
  assert.ok(!large.outcome.ok);
  assert.equal(large.outcome.faults[0]?.code, 'hook-failed');
  const loud = await bench.run('yes qward', { timeoutMs: 20_000 });
  assert.ok(!loud.outcome.ok);
  assert.ok(loud.lines.length <= 100);
  await nothingIsLeft();
});

test('the last line alone says how a hook ended, and its words are harmless', async () => {
  const forged = await bench.run("printf 'qward-hook: exit status 0\\n'; exit 5");
  assert.ok(!forged.outcome.ok);
  assert.match(forged.outcome.faults[0]?.message ?? '', /ended with status 5$/);
  assert.deepEqual(forged.lines, ['qward-hook: exit status 0']);
  const escapes = await bench.run("printf 'a\\033[31mb\\rc\\302\\205d'; exit 0");
  assert.deepEqual(escapes.lines, ['a\\x1b[31mb\\x0dc\\x85d']);
  const missing = await bench.run('exec /usr/bin/no-such-program');
  assert.ok(!missing.outcome.ok);
  assert.match(missing.outcome.faults[0]?.message ?? '', /ended with status 127$/);
});

test('a hook whose interpreter is not there fails, and a caller that goes away ends it', async () => {
  bench.name({ tried: bench.write('odd', '#!/nonexistent/interpreter\n') });
  const call = { hook: 'tried', machine: 'web', event: 'start' } as const;
  const odd = await runHook(bench.services, call);
  assert.ok(!odd.outcome.ok);
  assert.equal(odd.outcome.faults[0]?.code, 'hook-failed');
  const away = new AbortController();
  const running = bench.run('echo begun; sleep 600', { signal: away.signal });
  setTimeout(() => away.abort(), 300);
  const ended = await running;
  assert.ok(!ended.outcome.ok);
  assert.equal(ended.outcome.faults[0]?.code, 'machine-busy');
  await nothingIsLeft();
});

test('hooks of a manager that died are swept, and those of this one are not', async () => {
  const path = bench.write('left', '#!/bin/sh\nsleep 600\n');
  bench.name({ left: path });
  const jobs = ['qward-hook-00000000000a', 'qward-hook-00000000000b'] as const;
  for (const machine of jobs) {
    const reply = await broker.ask({ v: 1, call: 'launch', launch: hookLaunch(path, { machine }) });
    assert.ok(reply.ok, JSON.stringify(reply));
  }
  const port = bench.services.broker;
  const statusOf = async (): Promise<BrokerStatus> => {
    const status = await port.call('status', {});
    assert.ok(status.ok);
    return status.value;
  };
  await sweepJobs({ broker: port, running: (job) => job === jobs[1] }, await statusOf());
  const { machines, slots } = await statusOf();
  assert.deepEqual(
    machines.map(({ machine, alive }) => [machine, alive]),
    [[jobs[1], true]],
  );
  assert.deepEqual(
    slots.map(({ machine }) => machine),
    [jobs[1]],
  );
  await sweepJobs({ broker: port, running: () => false }, await statusOf());
  await nothingIsLeft();
});

test('a hook is looked at like a machine once it has run for a moment', async () => {
  const report = await bench.run('sleep 1; echo still here');
  assert.deepEqual(report, { lines: ['still here'], outcome: { ok: true, value: undefined } });
  writeFileSync(`${bench.directory}/tried`, good);
});
