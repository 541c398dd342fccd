/** Promise 1: what the package's scripts, which run as root, make of answers and of names in the manager's own directory. Needs root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const names = new URL('../../packaging/debian/names.sh', import.meta.url).pathname;

/** Runs a script after names.sh, with a /var/lib of its own. */
function sourced(script: string): string {
  const whole = `set -e; mount --make-rprivate /; mount -t tmpfs none /var/lib; . ${names}; ${script}`;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', '/bin/sh', '-c', whole], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('a range that the shell, useradd and JSON would read as other numbers is refused', () => {
  for (const range of ['01879048192-1879113727', '1879048192-01879113727', '0-65535', '010000-020000'])
    assert.match(sourced(`range_fault ${range}`), /is no range of uids/, range);
  assert.equal(sourced('range_fault 1879048192-1879113727'), '');
});

test('answers with what is special to a shell or to sed are no names', () => {
  for (const name of ['a/b', 'a&b', 'a;b', '$(id)', 'a\\nb', 'a b', '-a', 'a\nroot', 'é', '*'])
    for (const check of ['user_fault', 'operators_fault']) {
      const quoted = `'${name}'`;
      assert.match(sourced(`${check} ${quoted} x`), /is no name/, name);
    }
});

test("files that a taken-over manager makes in its own directory put nothing on root's terminal", () => {
  const directory = '/var/lib/qward/manager/machines';
  const make = `mkdir -p ${directory}; cd ${directory}; touch web.yaml "$(printf 'x\\033[2J.yaml')" "$(printf 'a\\nb.yaml')" 'x y.yaml'`;
  assert.equal(sourced(`${make}; defined_machines`), 'web ');
});
