/** TAP devices, in a network namespace of the test's own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const script = `
  import { closeSync, readFileSync } from 'node:fs';
  import { execFileSync } from 'node:child_process';
  import { openTap } from '${new URL('../../src/linux/tap.ts', import.meta.url).pathname}';
  const links = () => execFileSync('ip', ['-json', 'link', 'show'], { encoding: 'utf8' });
  let missing = '';
  try { openTap('nobridge'); } catch (error) { missing = error.code; }
  const afterMissing = JSON.parse(links()).length;
  const tap = openTap('br7');
  const shown = JSON.parse(links()).find((link) => link.ifname === tap.name);
  const bridge = JSON.parse(links()).find((link) => link.ifname === 'br7');
  const ipv6 = readFileSync('/proc/sys/net/ipv6/conf/' + tap.name + '/disable_ipv6', 'utf8').trim();
  closeSync(tap.fd);
  console.log(JSON.stringify({ missing, afterMissing, shown, bridge, ipv6, left: JSON.parse(links()).length }));
`;

test('a TAP device joins its bridge, keeps the host out, and is gone with its descriptor', () => {
  const inside = [
    '-c',
    'mount -t sysfs none /sys; ip link add br7 type bridge && ip link set br7 mtu 9000 && ip link set br7 up && exec "$@"',
    'sh',
  ];
  const node = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    script,
  ];
  const outcome = spawnSync('unshare', ['--net', '--mount', '/bin/sh', ...inside, ...node], {
    encoding: 'utf8',
  });
  assert.equal(outcome.status, 0, outcome.stderr);
  const found = JSON.parse(outcome.stdout);
  assert.equal(found.missing, 'ENODEV');
  assert.equal(found.shown.master, 'br7');
  assert.ok(found.shown.flags.includes('UP'));
  assert.match(found.shown.address, /^fe:/);
  assert.deepEqual([found.shown.mtu, found.bridge.mtu], [9000, 9000]);
  assert.equal(found.ipv6, '1');
  assert.equal(
    found.afterMissing,
    found.left,
    'no device is left, neither by a failure nor after the descriptor is closed',
  );
});
