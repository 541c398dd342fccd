/** A checkout below a home that is closed to others: `host up` says so, instead of a manager that dies of a missing module. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { closedToManager } from '../../src/host/closed-to-manager.ts';
import { pathsBelow, systemRoots } from '../../src/protocol/paths.ts';

const managerUid = 4_000_000;
const site = {
  roots: systemRoots,
  paths: pathsBelow(systemRoots),
  managerUid,
  managerGid: managerUid,
  cgroupParent: '/qward',
};

function checkout(context: TestContext): { readonly home: string; readonly main: string } {
  const home = mkdtempSync(join(tmpdir(), 'qward-closed-'));
  context.after(() => rmSync(home, { recursive: true }));
  chmodSync(home, 0o755);
  const directory = join(home, 'qward', 'src');
  mkdirSync(directory, { recursive: true });
  const main = join(directory, 'main.ts');
  writeFileSync(main, '');
  return { home, main };
}

test('a program that every user may read is open to the manager', (context) => {
  assert.equal(closedToManager(site, [process.execPath, checkout(context).main]), undefined);
});

test('the directory that is closed is named, with its mode and a cure', (context) => {
  const { home, main } = checkout(context);
  chmodSync(home, 0o700);
  const closed = closedToManager(site, [main]);
  assert.match(
    closed?.message ?? '',
    new RegExp(`uid ${managerUid}, cannot read .*: ${home} has mode 0700$`),
  );
  assert.match(closed?.hint ?? '', /move the checkout/);
});

test('a file that was written under a strict umask is named', (context) => {
  const { main } = checkout(context);
  chmodSync(main, 0o600);
  assert.match(closedToManager(site, [main])?.message ?? '', /main\.ts has mode 0600$/);
});
