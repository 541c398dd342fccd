/** Machines that move between two hosts with shared storage, with a real guest that counts on its disk. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consoleShows, defineDemo, done, refused, remains, statusOf } from '../support/driver.ts';
import { counted, countsOn, startTwoHosts, steps } from '../support/two-hosts.ts';

const hosts = await startTwoHosts();
after(() => hosts[Symbol.asyncDispose]());
const { one, other } = hosts;
const image = one.disk('web');

before(async () => {
  await defineDemo(one, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 5\b/);
});

test('a guest that counts moves to another host and back, and counts on without a gap, with every wall up', async () => {
  for (const from of [one, other]) {
    const to = hosts.otherOf(from);
    const moved = await hosts.migrate(from, ['web']);
    assert.equal(moved.status, 0, moved.stderr);
    assert.match(moved.stdout, /web: runs on .* now, stood still for \d+ ms/);
    const last = (await counted(from, 'web')).at(-1) ?? 0;
    const numbers = await countsOn(to, 'web', last);
    const heard = numbers.slice(numbers.lastIndexOf(last + 1));
    assert.ok(
      steps([last, ...heard]).every((step) => step === 1),
      `${last}: ${numbers.join()}`,
    );
    await done(to, 'audit web');
    const left = await statusOf(from, 'web');
    assert.deepEqual(
      [left.state, left.pid, left.lastEnd?.how, left.moved?.kind],
      ['stopped', null, 'moved', 'gone'],
    );
    assert.deepEqual(remains(from, 'web'), []);
    assert.match(await refused(from, 'start web'), /was moved to .*where its guest is/);
    assert.equal((await statusOf(to, 'web')).moved?.kind, 'arrived');
  }
});
