/** TAP devices, in a network namespace of the test's own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const script = `
  import { closeSync, openSync, readFileSync } from 'node:fs';
  import { execFileSync } from 'node:child_process';
  import { openQueue, openTap } from '${new URL('../../src/linux/tap.ts', import.meta.url).pathname}';
  const links = (...more) => execFileSync('ip', ['-json', ...more, 'link', 'show'], { encoding: 'utf8' });
  let missing = '';
  try { openTap('nobridge'); } catch (error) { missing = error.code; }
  const afterMissing = JSON.parse(links()).length;
  const tap = openTap('br7');
  const shown = JSON.parse(links()).find((link) => link.ifname === tap.name);
  const bridge = JSON.parse(links()).find((link) => link.ifname === 'br7');
  const ipv6 = readFileSync('/proc/sys/net/ipv6/conf/' + tap.name + '/disable_ipv6', 'utf8').trim();
  closeSync(tap.fd);
  const wide = openTap('br7', 'wide%d', undefined, true);
  const queues = [openQueue(wide.fd), openQueue(wide.fd)];
  const several = JSON.parse(links('-details')).find((link) => link.ifname === wide.name);
  const refused = [];
  const single = openTap('br7');
  const file = openSync('/dev/null', 'r');
  for (const fd of [single.fd, file, -1])
    try { openQueue(fd); } catch (error) { refused.push(error.code); }
  for (const fd of [single.fd, file, wide.fd]) closeSync(fd);
  const stays = links().includes(wide.name);
  queues.forEach((fd) => closeSync(fd));
  console.log(JSON.stringify({ several, refused, stays, missing, afterMissing, shown, bridge, ipv6, left: JSON.parse(links()).length }));
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
  assert.deepEqual(
    [found.several.linkinfo.info_data.multi_queue, found.several.linkinfo.info_data.numqueues],
    [true, 3],
  );
  assert.deepEqual(found.refused, ['EBUSY', 'ENOTTY', 'EBADF']);
  assert.ok(found.stays, 'as long as one of its queues is open');
  assert.equal(
    found.afterMissing,
    found.left,
    'no device is left, neither by a failure nor after the descriptor is closed',
  );
});
