/** What the client claims when a machine is defined or changed, and what it takes back. The manager is the enemy in some. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QwardClient } from '../../src/api/client.ts';
import { OwnFiles } from '../../src/api/own-files.ts';
import { claimRegister, type ClaimRegister } from '../support/claim-register.ts';
import { ok, refuse, startFakeManager, type FakeManager, type Handlers } from '../support/fake-manager.ts';

const victim = '/home/victim/.ssh/id_rsa';
const home = '/home/victim/vm';
const web = (...disks: string[]): string =>
  [
    'name: web',
    'disks:',
    ...disks.map((disk, index) => `  - {id: d${index}, format: qcow2, path: ${disk}}`),
    '',
  ].join('\n');

interface Parts extends AsyncDisposable {
  readonly manager: FakeManager;
  readonly own: OwnFiles;
}

async function parts(register: ClaimRegister, handlers: Handlers): Promise<Parts> {
  const manager = await startFakeManager({ handlers });
  const client = new QwardClient({ socketPath: manager.socketPath });
  return {
    manager,
    own: new OwnFiles(client, register),
    [Symbol.asyncDispose]: async () => {
      client.close();
      await manager[Symbol.asyncDispose]();
    },
  };
}

const define: Handlers['define'] = () => ok({ name: 'web', outcome: 'defined', notes: [] });
const edit: Handlers['edit'] = () => ok({ name: 'web', outcome: 'changed', notes: [] });
const set: Handlers['set'] = () => ok({ name: 'web', applied: [], atNextStart: [] });
const clone: Handlers['clone'] = ({ to }) => ok({ name: to, state: 'stopped', outcome: 'cloned' });
const shows =
  (source: string): NonNullable<Handlers['definition']> =>
  ({ name }) =>
    ok({ name, source, revision: 'r' });

test('define: checked, then claimed, then defined', async () => {
  const register = claimRegister();
  const seen: string[][] = [];
  await using it = await parts(register, {
    define: (input) => {
      seen.push([input.dryRun ? 'check' : 'define', ...register.lines()]);
      return ok({ name: 'web', outcome: 'defined', notes: [] });
    },
  });
  const { reply, notes } = await it.own.define({ source: web(`${home}/a`) });
  assert.ok(reply.ok);
  assert.deepEqual(seen, [['check'], ['define', `web: rw ${home}/a`]]);
  assert.deepEqual(notes, [`may read and write ${home}/a with your rights`]);
});

test('define: a fault is told before anything is claimed, and a refused claim before anything is defined', async () => {
  const register = claimRegister();
  await using wrong = await parts(register, { define: () => refuse('definition-invalid', 'wrong') });
  const faulty = await wrong.own.define({ source: web(`${home}/a`) });
  assert.equal(faulty.reply.ok, false);
  register.refused.add('/etc/shadow');
  await using it = await parts(register, { define });
  const { reply } = await it.own.define({ source: web(`${home}/a`, '/etc/shadow') });
  assert.ok(!reply.ok);
  assert.equal(reply.faults[0]?.rule, 'ownerClaims');
  assert.deepEqual(
    it.manager.calls.map(({ input }) => input['dryRun']),
    [true],
  );
  assert.deepEqual(register.lines(), []);
});

test('define: what was claimed is taken back where it fails, and what was known stays', async () => {
  const known = [
    { path: `${home}/a`, access: 'ro' },
    { path: `${home}/b`, access: 'rw' },
  ] as const;
  const register = claimRegister(['web', ...known], ['db', ...known]);
  const before = register.lines();
  await using it = await parts(register, {
    define: ({ dryRun }) =>
      dryRun ? ok({ name: 'web', outcome: 'changed', notes: [] }) : refuse('state-unwritable', 'full'),
  });
  const { reply } = await it.own.define({ source: web(`${home}/a`, `${home}/c`), replace: true });
  assert.equal(reply.ok, false);
  assert.deepEqual(register.lines(), before);
});

test('define: claims are those of the text, no more and no wider', async () => {
  const register = claimRegister([
    'web',
    { path: `${home}/old`, access: 'rw' },
    { path: `${home}/disc`, access: 'rw' },
  ]);
  await using it = await parts(register, { define });
  const source = `name: web\ncdroms: [{id: c, path: ${home}/disc}]\n`;
  const { notes } = await it.own.define({ source, replace: true });
  assert.deepEqual(register.lines(), [`web: ro ${home}/disc`]);
  assert.deepEqual(notes, [
    `may read ${home}/disc with your rights`,
    `may no longer open ${home}/old with your rights`,
  ]);
});

test('edit: what the user added is claimed, what the user took out is taken back', async () => {
  const register = claimRegister(['web', { path: `${home}/a`, access: 'rw' }]);
  await using it = await parts(register, { edit, define });
  const source = web(`${home}/b`);
  const { reply } = await it.own.edit({ name: 'web', source, revision: 'r' }, web(`${home}/a`));
  assert.ok(reply.ok);
  assert.deepEqual(register.lines(), [`web: rw ${home}/b`]);
});

test('edit: a disk that becomes writable is claimed so, where it was claimed before', async () => {
  const before = `name: web\ndisks: [{id: a, format: raw, path: ${home}/a, readonly: true}]\n`;
  const after = before.replace(', readonly: true', '');
  const register = claimRegister(['web', { path: `${home}/a`, access: 'ro' }]);
  await using it = await parts(register, { edit, define });
  await it.own.edit({ name: 'web', source: after }, before);
  assert.deepEqual(register.lines(), [`web: rw ${home}/a`]);
});

test("a manager that lies gets no claim by edit: a path that it put into the definition is not the user's", async () => {
  const register = claimRegister(['web', { path: `${home}/a`, access: 'ro' }]);
  await using it = await parts(register, { edit, define });
  const sent = web(`${home}/a`, victim);
  await it.own.edit({ name: 'web', source: `${sent}memory: 2GiB\n` }, sent);
  assert.deepEqual(register.lines(), [`web: ro ${home}/a`]);
  // Nor does one that sends no definition at all, which an edit makes one.
  const broken = `${web(victim)}memory: [\n`;
  await it.own.edit({ name: 'web', source: broken.replace('memory: [\n', '') }, broken);
  assert.doesNotMatch(register.lines().join(), /id_rsa/);
});

test('a manager that lies gets no claim by set', async () => {
  const register = claimRegister();
  await using it = await parts(register, { set, definition: shows(web(victim, `${home}/a`)) });
  await it.own.set({ name: 'web', changes: [{ key: 'memory', value: '2GiB' }] });
  await it.own.set({ name: 'web', changes: [{ key: 'disks.d0.cache', value: 'none' }] });
  await it.own.set({ name: 'web', changes: [{ key: 'disks.d0.readonly', value: 'false' }] });
  assert.deepEqual(register.lines(), []);
  await it.own.set({ name: 'web', changes: [{ key: 'disks.d1.path', value: `${home}/a` }] });
  assert.deepEqual(register.lines(), [`web: rw ${home}/a`]);
});

test('set: a read-only disk and a disc are claimed for reading, and what is not named any more is taken back', async () => {
  const register = claimRegister(['web', { path: `${home}/old`, access: 'rw' }]);
  const source = [
    'name: web',
    `disks: [{id: a, format: raw, path: ${home}/a, readonly: true}]`,
    `cdroms: [{id: c, path: ${home}/c}]`,
    '',
  ].join('\n');
  await using it = await parts(register, { set, definition: shows(source) });
  const changes = [
    { key: 'disks.a.path', value: `${home}/a` },
    { key: 'cdroms.c.path', value: `${home}/c` },
  ];
  const { notes } = await it.own.set({ name: 'web', changes });
  assert.deepEqual(register.lines(), [`web: ro ${home}/a`, `web: ro ${home}/c`]);
  assert.equal(notes.length, 3);
});

test('set: what was claimed is taken back where it fails', async () => {
  const register = claimRegister();
  await using it = await parts(register, {
    set: () => refuse('definition-invalid', 'there is no such disk'),
    definition: shows(web(`${home}/a`)),
  });
  const { reply } = await it.own.set({ name: 'web', changes: [{ key: 'disks.x.path', value: `${home}/x` }] });
  assert.equal(reply.ok, false);
  assert.deepEqual(register.lines(), []);
});

test('takeOver: a manager of another host that names more files than were claimed there gets no claim for them', async () => {
  const register = claimRegister();
  await using it = await parts(register, { define });
  const claimed = [
    { path: `${home}/a`, access: 'rw' },
    { path: `${home}/b`, access: 'ro' },
  ] as const;
  const { reply } = await it.own.takeOver(
    { source: web(`${home}/a`, `${home}/b`, victim), replace: true },
    claimed,
  );
  assert.ok(reply.ok);
  assert.deepEqual(register.lines(), [`web: ro ${home}/b`, `web: rw ${home}/a`]);
});

test('takeOver: nothing stays claimed for a machine that was not defined', async () => {
  const register = claimRegister();
  await using it = await parts(register, { define: () => refuse('policy-refused', 'no') });
  const claimed = [{ path: `${home}/a`, access: 'rw' }] as const;
  const { reply } = await it.own.takeOver({ source: web(`${home}/a`) }, claimed);
  assert.equal(reply.ok, false);
  assert.deepEqual(register.lines(), []);
});

test('clone: claims of the machine and the paths that are named, and a manager that lies gets nothing else', async () => {
  const register = claimRegister([
    'web',
    { path: `${home}/a`, access: 'rw' },
    { path: `${home}/base`, access: 'ro' },
  ]);
  const made = [
    'name: web2',
    'disks:',
    `  - {id: d0, format: qcow2, path: ${home}/b, backing: [{path: ${home}/base, format: qcow2}]}`,
    `  - {id: d1, format: raw, path: ${victim}}`,
    '',
  ].join('\n');
  await using it = await parts(register, { clone, definition: shows(made) });
  await it.own.clone({ name: 'web', to: 'web2', disks: { d0: `${home}/b` } });
  assert.deepEqual(register.lines(), [
    `web2: ro ${home}/base`,
    `web2: rw ${home}/b`,
    `web: ro ${home}/base`,
    `web: rw ${home}/a`,
  ]);
});

test('clone: nothing is claimed for a clone that was not made', async () => {
  const register = claimRegister(['web', { path: `${home}/a`, access: 'rw' }]);
  await using it = await parts(register, {
    clone: () => refuse('machine-exists', 'there is one'),
    definition: shows(web(`${home}/a`)),
  });
  await it.own.clone({ name: 'web', to: 'web2', disks: { d0: `${home}/b` } });
  assert.deepEqual(register.lines(), [`web: rw ${home}/a`]);
});
