/** Disk full while state is written: a clear fault, and nothing half-done. Needs root, for a small file system. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

interface SmallManager extends TestManager, Disposable {
  readonly fill: () => void;
  readonly empty: () => void;
}

/** A manager whose definitions lie on a file system of 64 KiB, and a way to fill it. */
async function small(context: TestContext): Promise<SmallManager> {
  const test = await startManager(context);
  const directory = `${test.paths.managerState}/machines`;
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'qward-test', directory]);
  const fill = (): void => {
    for (let pages = 16; pages > 0; pages -= 1)
      try {
        writeFileSync(`${directory}/filler${pages}`, Buffer.alloc(4096));
      } catch {
        rmSync(`${directory}/filler${pages}`, { force: true });
      }
  };
  const empty = (): void => {
    for (const file of readdirSync(directory)) if (file.startsWith('filler')) rmSync(`${directory}/${file}`);
  };
  const unmount = (): void => {
    execFileSync('umount', ['-l', directory]);
  };
  return { ...test, fill, empty, [Symbol.dispose]: unmount };
}

const stateFiles = ({ paths }: TestManager): string[] =>
  readdirSync(`${paths.managerState}/machines`).filter((file) => !file.startsWith('filler'));

test('a definition that does not fit is refused, and defines nothing', async (context) => {
  using test = await small(context);
  test.fill();
  const reply = await test.client.call('define', { source: definition('web') });
  assert.equal(!reply.ok && reply.faults[0]?.code, 'state-unwritable');
  assert.match(JSON.stringify(reply), /make room/);
  assert.equal((await test.client.call('status', { name: 'web' })).ok, false);
  assert.deepEqual(stateFiles(test), []);
  test.empty();
  assert.equal((await test.client.call('define', { source: definition('web') })).ok, true);
});

test('a change that does not fit leaves the old definition', async (context) => {
  using test = await small(context);
  await test.client.call('define', { source: definition('web') });
  test.fill();
  const more = `tags: [x]\ndescription: ${'y'.repeat(500)}\n`;
  const reply = await test.client.call('edit', { name: 'web', source: definition('web', more) });
  assert.equal(!reply.ok && reply.faults[0]?.code, 'state-unwritable');
  const kept = await test.client.call('definition', { name: 'web' });
  assert.ok(kept.ok);
  assert.equal(kept.result.source, definition('web'));
  assert.deepEqual(stateFiles(test).sort(), ['web.json', 'web.yaml']);
});
