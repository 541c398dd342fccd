/** `qward autostart` and `qward host start-machines`, against a server that speaks the contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { cli } from '../support/cli.ts';
import { ok, refuse, startFakeManager, type Handlers } from '../support/fake-manager.ts';
import { machineSummary } from '../support/machine-samples.ts';

type Entry = CallResult<'autostart'>['machines'][number];
type Booted = Entry['boot'];

const booted = (name: string, changes: Partial<Booted> = {}): Booted => ({
  name,
  state: 'ready',
  reason: null,
  at: '2026-01-01T00:00:00.000Z',
  ran: false,
  ...changes,
});
const entry = (boot: Booted, changes: Partial<Entry> = {}): Entry => ({
  name: boot.name,
  enabledBy: 'root',
  enabledAt: '2026-01-01T00:00:00.000Z',
  after: [],
  ready: 'qmp',
  boot,
  ...changes,
});
const rows = [
  booted('web', { state: 'skipped', reason: 'it comes after db, which failed to start: no image', at: '2' }),
  booted('db', { state: 'failed', reason: 'no image', at: '1' }),
  booted('mail', { ran: true, at: '0' }),
];
const entries = rows.map((row) => entry(row, row.name === 'web' ? { after: ['db'], ready: 'port' } : {}));
const list: Handlers = {
  autostart: () => ok({ booting: false, machines: entries }),
  list: () => ok([machineSummary('web', { tags: ['shop'] }), machineSummary('db')]),
};

test('autostart list is a table; names, patterns and tags choose from it', async () => {
  await using manager = await startFakeManager({ handlers: list });
  const { status, out } = await cli(['autostart', 'list'], manager);
  assert.equal(status, 0);
  assert.equal(
    out,
    [
      'NAME  ENABLED BY  AFTER  READY  LAST BOOT',
      'web   root        db     port   not started: it comes after db, which failed to start: no image',
      'db    root        -      qmp    not started: no image',
      'mail  root        -      qmp    runs already',
      '',
    ].join('\n'),
  );
  assert.equal((await cli(['autostart', 'list', '-q', 'w*', 'mail'], manager)).out, 'web\nmail\n');
  assert.equal((await cli(['autostart', 'list', '-q', 'tag:shop'], manager)).out, 'web\n');
  assert.deepEqual(JSON.parse((await cli(['autostart', 'list', '--json', 'db'], manager)).out), [entries[1]]);
});

test('nothing that starts with the host, and a word that is no action, are told', async () => {
  await using manager = await startFakeManager({
    handlers: { autostart: () => ok({ booting: false, machines: [] }) },
  });
  assert.equal(
    (await cli(['autostart', 'list'], manager)).out,
    'Nothing starts with the host: qward autostart on NAME\n',
  );
  const { status, err } = await cli(['autostart', 'enable', 'web'], manager);
  assert.equal(status, 2);
  assert.match(err, /"enable" is not an action; on, off or list expected/);
  assert.equal((await cli(['autostart', 'on'], manager)).status, 2);
});

test('start-machines prints a line for each machine as it went, and is status 1 where one is not ready', async () => {
  await using manager = await startFakeManager({
    handlers: { ...list, hostBoot: () => ok({ machines: rows }) },
  });
  const { status, out } = await cli(['host', 'start-machines'], manager);
  assert.equal(status, 1);
  assert.equal(
    out,
    [
      'mail: runs already',
      'db: not started: no image',
      'web: not started: it comes after db, which failed to start: no image',
      '',
    ].join('\n'),
  );
  const json = await cli(['host', 'start-machines', '--json'], manager);
  assert.deepEqual(JSON.parse(json.out), { machines: rows });
});

test('start-machines prints what is over while the rest is not, and nothing twice', async () => {
  const going = Promise.withResolvers<void>();
  let looks = 0;
  await using manager = await startFakeManager({
    handlers: {
      autostart: () => {
        looks += 1;
        if (looks === 3) going.resolve();
        const web = booted('web', { state: 'waiting' });
        return ok({ booting: true, machines: [entry(booted('db')), entry(web)] });
      },
      hostBoot: async () => {
        await going.promise;
        return ok({ machines: [booted('db', { ran: true }), booted('web')] });
      },
    },
  });
  const { status, out } = await cli(['host', 'start-machines'], manager);
  assert.deepEqual([status, out], [0, 'db: started\nweb: started\n']);
});

test('start-machines waits for a broker that does not answer yet, and for nothing that was refused', async () => {
  let asked = 0;
  await using manager = await startFakeManager({
    handlers: {
      ...list,
      hostBoot: () => {
        asked += 1;
        return asked === 1 ? refuse('broker-unreachable', 'it is starting') : ok({ machines: [] });
      },
    },
  });
  const { status, out } = await cli(['host', 'start-machines'], manager);
  assert.deepEqual([status, out, asked], [0, 'Nothing starts with the host.\n', 2]);
  await using strict = await startFakeManager({
    handlers: { ...list, hostBoot: () => refuse('not-allowed', 'it needs the right "host"') },
  });
  assert.equal((await cli(['host', 'start-machines'], strict)).status, 4);
});
