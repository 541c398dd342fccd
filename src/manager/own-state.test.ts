import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf } from '../plan/sample-facts.ts';
import { pathsBelow, systemRoots } from '../protocol/paths.ts';
import { ownStateFaults } from './own-state.ts';

const { own } = pathsBelow(systemRoots);

test("another machine's UEFI variables, claims and definitions are no disks", () => {
  const definition = definitionOf(`name: a
boot: {kernel: /var/lib/qward/vars/web.qcow2}
disks:
  - {id: one, path: /var/lib/qward/vars/web.qcow2, format: qcow2, readonly: true}
  - {id: two, path: /var/lib/qward/images/a.qcow2, format: qcow2, backing: [{path: /run/qward/x, format: raw}]}
cdroms: [{id: c, path: /etc/qward/policy.json}, {id: d, path: /var/lib/qward/varsity/x}]`);
  const faults = ownStateFaults(definition, own);
  assert.deepEqual(
    faults.map(({ code, path }) => [code, path?.join('.')]),
    [
      ['policy-refused', 'boot.kernel'],
      ['policy-refused', 'disks.0.path'],
      ['policy-refused', 'disks.1.backing.0.path'],
      ['policy-refused', 'cdroms.0.path'],
    ],
  );
  assert.match(
    faults[1]?.message ?? '',
    /^disk "one": "\/var\/lib\/qward\/vars\/web\.qcow2" lies in \/var\/lib\/qward\/vars,/,
  );
});
