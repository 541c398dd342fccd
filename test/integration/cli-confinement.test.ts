/** explain, audit and doctor, and the rights that QEMU's monitor needs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from '../support/cli.ts';
import { ok, refuse, startFakeManager, type Handlers } from '../support/fake-manager.ts';
import { auditReport, doctorReport, machineSummary, planOutcome } from '../support/machine-samples.ts';

const handlers: Handlers = {
  list: () => ok([machineSummary('web', { state: 'running' }), machineSummary('off')]),
  explain: ({ name }) =>
    name === 'web'
      ? ok(planOutcome)
      : ok({
          ok: false,
          faults: [
            { code: 'policy-refused', message: 'disk "root": outside', hint: 'add it to storage.roots' },
          ],
        }),
  audit: ({ name }) =>
    name === 'web' ? ok(auditReport) : refuse('machine-not-running', `"${name}" does not run`),
  auditPid: ({ pid }) => ok({ ...auditReport, machine: null, pid, ok: true, rows: [] }),
  doctor: () => ok(doctorReport),
  qmp: ({ name, execute, arguments: given }) => ok({ name, return: { execute, given } }),
  monitor: ({ name, command }) => ok({ name, output: `you said ${command}\r\n` }),
};

test('explain prints one option a line, every grant with its reason, and the walls', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['explain', 'web'], manager);
  assert.equal(status, 0);
  assert.match(out, /\n {2}-nodefaults\n {2}-name web\n {2}-blockdev \{"driver":"qcow2"/);
  assert.match(out, /4 {2}disk root {2}rw +\/var\/lib\/qward\/images\/web\.qcow2 +the guest writes to it\n/);
  assert.match(out, /\nWALL +AS IT WILL BE\nuid +its own/);
});

test('explain of what may not start prints why, with the exit status of the fault', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out, err } = await cli(['explain', 'db'], manager);
  assert.deepEqual([status, out, err], [4, '', 'disk "root": outside\n  add it to storage.roots\n']);
});

test('audit is status 1 where a wall differs, and names it', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['audit', 'web'], manager);
  assert.equal(status, 1);
  assert.match(out, /^web {2}pid 4711 {2}1 of 4 walls differ, 1 not on this host\n/);
  assert.match(out, /capabilities +DIFFERS +all five sets empty +CapEff 0000000000020000\n/);
});

test('audit is status 2 where it could not look', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.equal((await cli(['audit', 'off'], manager)).status, 2);
});

test('audit --all looks at what runs, --pid at any process', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.deepEqual(JSON.parse((await cli(['audit', '--all', '--json'], manager)).out), auditReport);
  const byPid = await cli(['audit', '--pid', '99'], manager);
  assert.equal(byPid.status, 0);
  assert.match(byPid.out, /^not a machine of qward {2}pid 99/);
  assert.equal((await cli(['audit', '--pid', '99', 'web'], manager)).status, 2);
});

test('doctor is status 1 where something mandatory is missing, and gives the cure', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, out } = await cli(['doctor'], manager);
  assert.equal(status, 1);
  assert.match(out, /missing {3}qemu +no QEMU binary\n +cure: apt install qemu-system-x86\n/);
});

test('qmp sends the arguments as data', async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['qmp', 'web', 'query-block', '{"id": 1}'], manager);
  assert.deepEqual(JSON.parse(out), { execute: 'query-block', given: { id: 1 } });
  assert.equal((await cli(['qmp', 'web', 'query-block', '[1]'], manager)).status, 2);
});

test('monitor takes the words behind the name as they are', async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['monitor', 'web', 'info', 'block', '-v', '--json'], manager);
  assert.equal(out, 'you said info block -v --json\n');
});
