/** A user network in a session: the same passt in the same jail, without root anywhere, and what cannot be closed there is said. */
import assert from 'node:assert/strict';
import { execSync } from 'node:child_process';
import { after, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { sessionUser } from '../support/session.ts';

enterOwnNetwork();
execSync(
  'ip link set lo up; ip link add up0 type veth peer name up1; ip address add 192.0.2.2/24 dev up0; ip link set up0 up; ip link set up1 up; ip route add default via 192.0.2.1',
);
const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());

test('a machine of a session has a user network, and no packet filter is claimed', async () => {
  const more = 'nics: [{ id: net, kind: user, forward: ["127.0.0.1:2280 -> 80"], dns: [192.0.2.1] }]';
  const defined = await user.define({ name: 'web', more });
  assert.equal(defined.status, 0, defined.stderr);
  const explained = (await user.qward(['explain', 'web'])).stdout.replaceAll(/\s+/g, ' ');
  assert.match(explained, /services of this host too, also to those on loopback/);
  assert.doesNotMatch(explained, /closed are the host itself/);
  const started = await user.qward(['start', 'web']);
  assert.equal(started.status, 0, started.stderr);
  const audit = await user.qward(['audit', 'web', '--json']);
  assert.equal(audit.status, 0, audit.stdout);
  const [helper] = (JSON.parse(audit.stdout) as AuditReport).helpers ?? [];
  const network = helper?.rows.find(({ wall }) => wall === 'network-namespace');
  assert.equal(network?.verdict, 'missing');
  assert.match(network.found, /open to it: a user has no packet filter/);
  assert.match((await user.qward(['status', 'web'])).stdout, /net up, 127\.0\.0\.1:2280 -> 80/);
  const killed = await user.qward(['kill', 'web']);
  assert.equal(killed.status, 0, killed.stderr);
  const programs = processesOfUids(user.uid, 1).map((pid) =>
    execSync(`cat /proc/${pid}/comm || true`).toString().trim(),
  );
  assert.deepEqual(
    programs.filter((name) => name.startsWith('passt')),
    [],
  );
});
