/**
 * Promises 1 and 3: root follows nothing that the manager's uid put into its own directories. Each of them is replaced by a link to
 * a place of root's, `host up`, a start, an image job and `host down` run, and the place is as it was. Needs root.
 */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { asUser } from '../support/as-user.ts';
import { run, startInstance, type CommandOutcome } from '../support/instance.ts';
import { define, smallMachine } from '../support/small-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const { managerState, managerRun, vars, images } = instance.paths;

/** Root's, closed to all others, with a file of each name that is looked for in the place that a link replaces. */
const outside = `${instance.directory}/outside`;
mkdirSync(outside, { mode: 0o700 });
const names = ['one.yaml', 'one.json', 'one.qcow2', 'one.log', 'history.db', 'file'];
for (const name of names) writeFileSync(`${outside}/${name}`, `kept ${name}`, { mode: 0o600 });
chownSync(`${outside}/file`, 12_345, 12_345);

function seen(): unknown {
  return [outside, ...names.map((name) => `${outside}/${name}`)].map((path) => {
    const { uid, gid, mode, nlink, size, ctimeMs } = statSync(path);
    return [path, uid, gid, mode, nlink, size, ctimeMs];
  });
}

const host = (action: 'up' | 'down'): Promise<CommandOutcome> =>
  instance.qward(['host', action, ...instance.hostFlags]);

async function down(): Promise<void> {
  const { status, stderr } = await host('down');
  assert.equal(status, 0, stderr);
}

/** As the manager's uid, with nothing of root's. */
async function asManager(script: string): Promise<void> {
  const argv = [...asUser({ uid: instance.managerUid }), '/bin/sh', '-ec', script];
  const outcome = await run(argv, instance.environment);
  assert.equal(outcome.status, 0, `${script}: ${outcome.stderr}`);
}

await define(instance, smallMachine('one', ['firmware: uefi']).replace('32MiB', '64MiB'));
assert.ok((await instance.client.call('start', { name: 'one' })).ok);
assert.ok((await instance.client.call('kill', { name: 'one' })).ok);
const disk = instance.disk('disk');

/** What the manager may replace, and by a link to what. */
const links: Readonly<Record<string, string>> = {
  [`${managerState}/machines`]: outside,
  [`${managerState}/machines/one.yaml`]: `${outside}/one.yaml`,
  [`${managerState}/machines/one.json.new`]: `${outside}/one.json`,
  [`${managerState}/logs`]: outside,
  [`${managerState}/runs`]: outside,
  [`${managerState}/console`]: outside,
  [`${managerState}/history.db`]: `${outside}/history.db`,
  [`${managerRun}/kvm.json`]: `${outside}/file`,
  [`${vars}/one.qcow2`]: `${outside}/one.qcow2`,
  [`${vars}/kvm-probe.img`]: `${outside}/file`,
};

await down();

test('the manager’s own files are what it says, where nothing was replaced', () => {
  for (const place of Object.keys(links).slice(0, 2)) assert.ok(statSync(place).uid === instance.managerUid);
  assert.equal(statSync(`${vars}/one.qcow2`).uid, instance.managerUid);
});

for (const [place, target] of Object.entries(links))
  test(`a link at ${place.slice(instance.directory.length)} leads root nowhere`, async () => {
    const before = seen();
    await asManager(`[ ! -e ${place} ] || mv ${place} ${place}.kept; ln -s ${target} ${place}`);
    try {
      // Whether these succeed is the manager's own matter.
      await host('up');
      await instance.client.call('start', { name: 'one' }).catch(() => undefined);
      await instance.client.call('kill', { name: 'one' }).catch(() => undefined);
      await instance.qward(['disk', 'check', disk]);
      await down();
      assert.deepEqual(seen(), before);
      assert.deepEqual(readdirSync(outside).toSorted(), names.toSorted());
      for (const name of names) assert.equal(readFileSync(`${outside}/${name}`, 'utf8'), `kept ${name}`);
    } finally {
      await asManager(`rm -f ${place}; [ ! -e ${place}.kept ] || mv ${place}.kept ${place}`);
    }
  });

test('with its own files again, the machine starts', async () => {
  await instance.up();
  const started = await instance.client.call('start', { name: 'one' });
  assert.ok(started.ok, JSON.stringify(started));
  assert.deepEqual(readdirSync(images), ['disk.qcow2']);
});
