import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

const code = (reply: { readonly ok: boolean }): unknown =>
  'faults' in reply ? (reply.faults as { code: string }[])[0]?.code : JSON.stringify(reply);

const files = ({ paths }: TestManager): string[] => readdirSync(`${paths.managerState}/machines`).sort();

async function source({ client }: TestManager, name: string): Promise<string> {
  const reply = await client.call('definition', { name });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result.source;
}

test('a definition is kept as it was written, comments and all, and read by the next manager', async (context) => {
  const first = await startManager(context);
  const text = `# the shop\n${definition('web')}# end\n`;
  assert.ok((await first.client.call('define', { source: text })).ok);
  assert.equal(await source(first, 'web'), text);
  const second = await first.restart();
  assert.equal(await source(second, 'web'), text);
  const status = await second.client.call('status', { name: 'web' });
  assert.ok(status.ok);
  assert.equal(status.result.owner, 'root');
});

test('a definition with faults tells all of them and defines nothing', async (context) => {
  const test = await startManager(context);
  const reply = await test.client.call('define', { source: 'name: Web\nmemori: 1G\ncpu: { count: 0 }\n' });
  assert.ok(!reply.ok);
  assert.ok(reply.faults.length >= 3, JSON.stringify(reply.faults));
  assert.ok(reply.faults.every(({ line }) => line !== undefined));
  assert.deepEqual(files(test), []);
});

test('a second definition of a name needs `replace`; the same again is unchanged', async (context) => {
  const { client } = await startManager(context);
  await client.call('define', { source: definition('web') });
  assert.equal(code(await client.call('define', { source: definition('web') })), 'machine-exists');
  const same = await client.call('define', { source: definition('web'), replace: true });
  assert.ok(same.ok);
  assert.equal(same.result.outcome, 'unchanged');
  const other = await client.call('define', { source: definition('web', 'tags: [x]\n'), replace: true });
  assert.ok(other.ok);
  assert.equal(other.result.outcome, 'changed');
});

test('a dry run says what would happen, and nothing does', async (context) => {
  const test = await startManager(context);
  const reply = await test.client.call('define', { source: definition('web'), dryRun: true });
  assert.ok(reply.ok);
  assert.deepEqual([reply.result.name, reply.result.outcome], ['web', 'defined']);
  assert.deepEqual(files(test), []);
});

test('of two that define the same name at once one wins', async (context) => {
  const { client } = await startManager(context);
  const replies = await Promise.all([
    client.call('define', { source: definition('web') }),
    client.call('define', { source: definition('web', 'tags: [x]\n') }),
  ]);
  assert.equal(replies.filter(({ ok }) => ok).length, 1);
});

test('an edit is refused where another changed the definition meanwhile', async (context) => {
  const { client } = await startManager(context);
  await client.call('define', { source: definition('web') });
  const seen = await client.call('definition', { name: 'web' });
  assert.ok(seen.ok);
  const { revision } = seen.result;
  assert.ok(
    (await client.call('edit', { name: 'web', source: definition('web', 'tags: [a]\n'), revision })).ok,
  );
  const late = await client.call('edit', { name: 'web', source: definition('web', 'tags: [b]\n'), revision });
  assert.equal(code(late), 'definition-changed');
});

test('set keeps comments, and says what holds now and what from the next start on', async (context) => {
  const test = await startManager(context);
  writeFileSync(`${test.root}/disk.raw`, Buffer.alloc(4096));
  const disks = `disks: [{ id: root, path: ${test.root}/disk.raw, format: raw }]\n`;
  await test.client.call('define', { source: `# mine\n${definition('web', disks)}` });
  const started = await test.client.call('start', { name: 'web' });
  assert.ok(started.ok, JSON.stringify(started));
  const reply = await test.client.call('set', {
    name: 'web',
    changes: [
      { key: 'description', value: 'the shop' },
      { key: 'cpu.count', value: '2' },
      { key: 'disks.root.limits.iops', value: '100' },
    ],
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.deepEqual(reply.result.applied, ['description', 'disks.root.limits.iops']);
  assert.deepEqual(reply.result.atNextStart, ['cpu.count']);
  assert.match(await source(test, 'web'), /^# mine\n/);
  const throttle = test.broker
    .qemu('web')
    .monitor.received.find(({ execute }) => execute === 'block_set_io_throttle');
  assert.deepEqual(throttle?.arguments, {
    id: '/machine/peripheral/root/virtio-backend',
    bps: 0,
    bps_rd: 0,
    bps_wr: 0,
    iops: 100,
    iops_rd: 0,
    iops_wr: 0,
  });
  const status = await test.client.call('status', { name: 'web' });
  assert.ok(status.ok);
  assert.equal(status.result.changed, true);
});

test('a wrong key or value sets nothing', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  const before = await source(test, 'web');
  const reply = await test.client.call('set', {
    name: 'web',
    changes: [
      { key: 'tags', value: 'a' },
      { key: 'cpu.cuont', value: '2' },
    ],
  });
  assert.equal(reply.ok, false);
  assert.equal(await source(test, 'web'), before);
});

test('rename moves everything that is kept for the machine', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  await test.client.call('start', { name: 'web' });
  assert.equal(code(await test.client.call('rename', { name: 'web', to: 'shop' })), 'machine-running');
  await test.client.call('kill', { name: 'web' });
  assert.ok((await test.client.call('rename', { name: 'web', to: 'shop' })).ok);
  assert.deepEqual(files(test), ['shop.json', 'shop.yaml']);
  assert.match(await source(test, 'shop'), /^name: shop$/m);
  assert.equal(code(await test.client.call('status', { name: 'web' })), 'machine-unknown');
  const logs = await test.client.call('logs', { name: 'shop' });
  assert.ok(logs.ok);
  assert.ok(logs.result.lines.some(({ text }) => text.startsWith('started as pid')));
  assert.ok(test.broker.calls.includes('rename'));
});

test('clone defines another machine, and asks for images of its own', async (context) => {
  const test = await startManager(context);
  const disks = 'disks: [{ id: root, path: /srv/web.qcow2, format: qcow2 }]\n';
  await test.client.call('define', { source: definition('web', disks) });
  assert.equal((await test.client.call('clone', { name: 'web', to: 'copy' })).ok, false);
  const reply = await test.client.call('clone', {
    name: 'web',
    to: 'copy',
    disks: { root: '/srv/copy.qcow2' },
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.match(await source(test, 'copy'), /\/srv\/copy\.qcow2/);
});

test('rm takes the definition and what qward keeps, and leaves disks', async (context) => {
  const test = await startManager(context);
  const path = `${test.root}/machines/disk.raw`;
  writeFileSync(path, '');
  await test.client.call('define', {
    source: definition('web', `disks: [{ id: root, path: ${path}, format: raw }]\n`),
  });
  const reply = await test.client.call('remove', { name: 'web' });
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.deepEqual(reply.result.keptDisks, [path]);
  assert.deepEqual(files(test), []);
  assert.ok(existsSync(path));
  assert.ok(test.broker.calls.includes('forget'));
});

test('rm with disks removes them where the manager may, else nothing at all', async (context) => {
  const test = await startManager(context);
  const own = `${test.root}/machines/own.raw`;
  writeFileSync(own, '');
  const disks = (path: string): string => `disks: [{ id: root, path: ${path}, format: raw }]\n`;
  await test.client.call('define', { source: definition('web', disks(own)) });
  await test.client.call('define', { source: definition('db', disks('/etc/hostname')) });
  const refused = await test.client.call('remove', { name: 'db', disks: true });
  assert.equal(code(refused), 'not-allowed');
  assert.match(JSON.stringify(refused), /outside the storage roots/);
  assert.ok(files(test).includes('db.yaml') && existsSync('/etc/hostname'));
  const removed = await test.client.call('remove', { name: 'web', disks: true });
  assert.ok(removed.ok, JSON.stringify(removed));
  assert.deepEqual(removed.result.removedDisks, [own]);
  assert.equal(existsSync(own), false);
});

test('rm of a running machine is refused; with force it is killed first', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  await test.client.call('start', { name: 'web' });
  assert.equal(code(await test.client.call('remove', { name: 'web' })), 'machine-running');
  assert.ok((await test.client.call('remove', { name: 'web', force: true })).ok);
  assert.deepEqual([...test.broker.machines.keys()], []);
});

test("broken and half-written state files are told, left as they are, and in nobody's way", async (context) => {
  const first = await startManager(context);
  await first.client.call('define', { source: definition('good') });
  const directory = `${first.paths.managerState}/machines`;
  writeFileSync(`${directory}/cut.yaml`, 'name: cut\nmemory: ');
  writeFileSync(`${directory}/other.yaml`, definition('another'));
  writeFileSync(`${directory}/half.yaml.new`, 'name: ha');
  writeFileSync(`${directory}/lonely.json`, '{}');
  writeFileSync(`${directory}/nobody.yaml`, definition('nobody'));
  mkdirSync(`${directory}/dir.yaml`);
  const before = readdirSync(directory);
  const second = await first.restart();
  const list = await second.client.call('list');
  assert.ok(list.ok);
  assert.deepEqual(
    list.result.map(({ name }) => name),
    ['good'],
  );
  assert.deepEqual(readdirSync(directory), before);
  const doctor = await second.client.call('doctor');
  assert.ok(doctor.ok);
  const found = doctor.result.checks.find(({ check }) => check === 'state files')?.found ?? '';
  for (const name of ['cut.yaml', 'other.yaml', 'half.yaml.new', 'lonely.json', 'nobody.yaml', 'dir.yaml'])
    assert.ok(found.includes(name), `${name} in ${found}`);
});

test('the metadata says who defined it and when', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  const metadata = JSON.parse(readFileSync(`${test.paths.managerState}/machines/web.json`, 'utf8')) as object;
  assert.deepEqual(Object.keys(metadata).sort(), ['definedAt', 'grants', 'owner', 'version']);
});
