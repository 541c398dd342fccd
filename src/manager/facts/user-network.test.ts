import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameServersOf } from './user-network.ts';

test('a guest is told the name servers that it can reach', () => {
  const own = ['192.0.2.2', 'fd00::2'];
  assert.deepEqual(nameServersOf(['nameserver 192.0.2.1\nnameserver fd00::53\n'], own), [
    '192.0.2.1',
    'fd00::53',
  ]);
  // systemd-resolved, and what it asks.
  assert.deepEqual(
    nameServersOf(['# stub\nnameserver 127.0.0.53\noptions edns0\n', 'nameserver 9.9.9.9\n'], own),
    ['9.9.9.9'],
  );
  assert.deepEqual(
    nameServersOf(
      ['nameserver 127.0.0.1\nnameserver 192.0.2.2\nnameserver fe80::1\nnameserver fe80::1%eth0\n', ''],
      own,
    ),
    [],
  );
  assert.deepEqual(
    nameServersOf(
      ['nameserver 169.254.169.253\nnameserver ::1\nnameserver 0.0.0.0\nnameserver bad;name\n'],
      own,
    ),
    [],
  );
  assert.deepEqual(
    nameServersOf([Array.from({ length: 9 }, (_, n) => `nameserver 192.0.2.${n + 10}`).join('\n')], own)
      .length,
    3,
  );
});
