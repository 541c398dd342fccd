import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from '../../plan/sample-facts.ts';
import { explainPasst } from './passt-log.ts';

const [helper] = planOf('name: web\nnics:\n  - { id: net, kind: user }\n').helpers;
assert.ok(helper !== undefined);
const noise = 'Failed to send 60 bytes to syslog\n';

test('why passt ended is told with its cure', () => {
  const cases: [log: string, code: string, message: RegExp, hint: RegExp][] = [
    [
      `${noise}Failed to bind any port for '-t 127.0.0.1/2222:22', exiting\n`,
      'port-unavailable',
      /^network card "net": tcp port 2222 of 127\.0\.0\.1 cannot be had/,
      /ss -ltnp sport = :2222/,
    ],
    [
      `Failed to bind any port for '-u ::1/5353:53', exiting\n${noise}`,
      'port-unavailable',
      /udp port 5353 of ::1 cannot/,
      /ss -lunp/,
    ],
    [
      `No external routable interface for IPv4\nExternal interface not usable\n`,
      'network-failed',
      /no route to other networks/,
      /ip route/,
    ],
    [
      "Couldn't create user namespace: No space left on device\n",
      'wall-missing',
      /could not make its user namespace: Couldn't/,
      /max_user_namespaces/,
    ],
    [
      `Couldn't get any nameserver address\n${noise}`,
      'network-failed',
      /passt ended: it said nothing$/,
      /doctor/,
    ],
    ['\u001b[2Jred\n', 'network-failed', /passt ended: [^\u001b]*$/, /doctor/],
  ];
  for (const [log, code, message, hint] of cases) {
    const fault = explainPasst(log, helper);
    assert.equal(fault.code, code);
    assert.match(fault.message, message);
    assert.match(fault.hint, hint);
  }
  assert.equal(explainPasst('External interface not usable', helper).wait, true);
  assert.equal(explainPasst('', helper).wait, undefined);
});
