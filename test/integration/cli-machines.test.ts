/** Commands on machines, against a server that speaks the contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from '../support/cli.ts';
import { ok, refuse, startFakeManager, type Handlers } from '../support/fake-manager.ts';
import { crashedStatus, machineStatus, machineSummary, runningStatus } from '../support/machine-samples.ts';

const machines = [
  machineSummary('web1', { state: 'running', tags: ['web'], pid: 12, uid: 1879048193, changed: true }),
  machineSummary('web2', { tags: ['web'] }),
  machineSummary('db', { state: 'paused', memory: 1536 * 1024 ** 2 }),
];
const unknown = (name: string) => refuse('machine-unknown', `no machine "${name}"`);
const known = (name: string): boolean => machines.some((machine) => machine.name === name);
const handlers: Handlers = {
  list: () => ok(machines),
  start: ({ name }) => (known(name) ? ok({ name, state: 'running', outcome: 'started' }) : unknown(name)),
  stop: ({ name }) => ok({ name, state: 'stopped', outcome: 'shut down' }),
  kill: ({ name }) => ok({ name, state: 'stopped', outcome: 'killed' }),
  pause: ({ name }) => refuse('not-allowed', `you may not pause "${name}"`),
  resume: ({ name }) => refuse('machine-not-running', `"${name}" does not run`),
  wait: ({ name }) => ok({ name, state: 'crashed', outcome: 'crashed' }),
  status: ({ name }) => (known(name) ? ok(machineStatus(name)) : unknown(name)),
};

test('list prints a plain table off a terminal', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['list'], manager);
  assert.equal(status, 0);
  assert.equal(
    out,
    [
      'NAME  STATE      CPUS  MEMORY  PID         UID  OWNER  TAGS  DESCRIPTION',
      'web1  running *     1    1GiB   12  1879048193  alice  web   -',
      'web2  stopped       1    1GiB    -           -  alice  web   -',
      'db    paused        1  1.5GiB    -           -  alice  -     -',
      '',
    ].join('\n'),
  );
});

test("list --json is the API's data, and filters apply to it", async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['list', '--json', 'tag:web', '--state', 'running'], manager);
  assert.deepEqual(JSON.parse(out), [machines[0]]);
});

test('list -q prints names', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.equal((await cli(['-q', 'list', 'web*'], manager)).out, 'web1\nweb2\n');
});

test('a plain name is started without a list being asked for', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['start', 'web2'], manager);
  assert.deepEqual([status, out], [0, 'web2: started\n']);
  assert.deepEqual(manager.calls, [{ name: 'start', input: { name: 'web2', paused: false, state: 'use' } }]);
});

test('a pattern is started side by side, a line each', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['start', 'web*', 'db', '--paused'], manager);
  assert.equal(status, 0);
  assert.deepEqual(out.trim().split('\n').sort(), ['db: started', 'web1: started', 'web2: started']);
  assert.equal(manager.calls.filter(({ input }) => input['paused'] === true).length, 3);
});

test('stop --all leaves alone what does not run', async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['stop', '--all', '-t', '5s'], manager);
  assert.deepEqual(out.trim().split('\n').sort(), ['db: shut down', 'web1: shut down']);
  assert.deepEqual(manager.calls.at(-1)?.input['timeoutMs'], 5000);
});

test('an unknown machine is status 3, and the nearest name is offered', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, err } = await cli(['start', 'wbe1'], manager);
  assert.equal(status, 3);
  assert.match(err, /no machine "wbe1"\n {2}Did you mean "web1"\?/);
});

test('a pattern that matches nothing is status 3 and starts nothing', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, err } = await cli(['start', 'web*', 'mail*'], manager);
  assert.equal(status, 3);
  assert.match(err, /no machine matches "mail\*"/);
  assert.deepEqual(
    manager.calls.map(({ name }) => name),
    ['list'],
  );
});

test('of several results the worst is the exit status', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out, err } = await cli(['start', 'web1', 'nope'], manager);
  assert.equal(status, 3);
  assert.equal(out, 'web1: started\n');
  assert.match(err, /^nope: no machine "nope"/);
  assert.equal((await cli(['pause', 'web1'], manager)).status, 4);
  assert.equal((await cli(['resume', 'web1'], manager)).status, 1);
});

test('several results as JSON name each machine', async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['start', '--json', 'web1', 'nope'], manager);
  const rows = JSON.parse(out) as { name: string; ok: boolean }[];
  assert.deepEqual(
    rows.map(({ name, ok }) => [name, ok]),
    [
      ['web1', true],
      ['nope', false],
    ],
  );
});

test('kill of a pattern asks on a terminal and needs --yes off it', async () => {
  await using manager = await startFakeManager({ handlers });
  const off = await cli(['kill', '--all'], manager);
  assert.equal(off.status, 2);
  assert.match(off.err, /Add --yes/);
  const no = await cli(['kill', '--all'], { ...manager, terminals: [0, 2], answer: 'n' });
  assert.equal(no.status, 1);
  assert.equal(
    manager.calls.some(({ name }) => name === 'kill'),
    false,
  );
  const yes = await cli(['kill', '--all'], { ...manager, terminals: [0, 2], answer: 'y' });
  assert.equal(yes.status, 0);
  assert.match(yes.err, /Kill web1, db\? \[y\/N\]/);
  assert.equal((await cli(['kill', 'web*', '--yes'], manager)).status, 0);
  assert.equal((await cli(['kill', 'web1'], manager)).status, 0);
});

test('start --wait is status 1 where the machine crashed', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['start', '--wait', 'web1'], manager);
  assert.deepEqual([status, out], [1, 'web1: crashed\n']);
});

test('status tells states apart by its exit status', async () => {
  const expected = {
    running: 0,
    stopped: 10,
    crashed: 11,
    failed: 11,
    unreachable: 12,
    paused: 13,
    starting: 13,
    stopping: 13,
  } as const;
  for (const [state, status] of Object.entries(expected)) {
    await using manager = await startFakeManager({
      handlers: { status: ({ name }) => ok(machineStatus(name, { state: state as keyof typeof expected })) },
    });
    assert.equal((await cli(['status', 'web'], manager)).status, status, state);
  }
});

test('status --json has pid, uid and cgroup', async () => {
  await using manager = await startFakeManager({ handlers: { status: () => ok(runningStatus) } });
  const { out } = await cli(['status', '--json', 'web'], manager);
  assert.deepEqual(JSON.parse(out), runningStatus);
});

test('status of a crashed machine says how it ended, with the last lines of the log', async () => {
  await using manager = await startFakeManager({ handlers: { status: () => ok(crashedStatus) } });
  const { out } = await cli(['status', 'db'], manager);
  assert.match(
    out,
    /last end +crashed 60 min ago: QEMU was killed, signal SIGKILL\n {4}\| qemu: first\n {4}\| qemu: last\n/,
  );
});

test('no manager is status 5 and says how to start it', async () => {
  const { status, err } = await cli(['list']);
  assert.equal(status, 5);
  assert.match(err, /does not answer on \/nonexistent\/api\.sock.*\n.*qward host up/);
  assert.deepEqual(
    (JSON.parse((await cli(['list', '--json'])).err) as { faults: { code: string }[] }).faults[0]?.code,
    'manager-unreachable',
  );
});

test('a usage error is one line', async () => {
  for (const words of [
    ['strat'],
    ['start'],
    ['start', '--al'],
    ['show'],
    ['show', 'a', 'b'],
    ['stop', '-t'],
  ]) {
    const { status, out, err } = await cli(words);
    assert.equal(status, 2, words.join(' '));
    assert.equal(out, '');
    assert.equal(err.trim().split('\n').length, 1, err);
    const [first = '', ...rest] = words;
    const asData = await cli([first, '--json', ...rest]);
    assert.deepEqual([asData.status, asData.out], [2, '']);
    const { faults } = JSON.parse(asData.err) as { faults: readonly { message: string }[] };
    assert.equal(faults[0]?.message, err.trim().replace(/^qward: /, ''));
  }
  // What stands behind "--" is not qward's own.
  assert.match((await cli(['strat', '--', '--json'])).err, /^qward: no command "strat"/);
});
