/**
 * The host goes down again and again, at any moment of a guest that writes and fsyncs a counter: what the guest was told is on its
 * disk, and it was let end by itself. LAB_ROUNDS says how often; 20 else.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { LabHost, type LabBoot } from '../host.ts';
import { labImage } from '../image.ts';
import { counterOf, guestScript, installScript, lastShutdown, makePayload } from '../payload.ts';

using payload = await makePayload();
const host = LabHost.create(await labImage((line) => console.log(line)), {
  payload: payload.directory,
  memoryMib: 3072,
});
const rounds = Number(process.env['LAB_ROUNDS'] ?? 20);
let boot: LabBoot;
before(async () => {
  boot = await host.boot();
  await boot.demand('mkdir -p /var/log/journal && systemctl restart systemd-journald');
  await boot.demand(installScript, 300_000);
  await boot.demand(guestScript('db', 'qward.counter'));
});
after(() => host[Symbol.asyncDispose]());

for (let round = 1; round <= rounds; round++)
  test(`round ${round} of ${rounds}`, async () => {
    await boot.demand(
      'modprobe kvm_amd; rm -rf /var/lib/qward/manager/console/db/*; qward start db',
      120_000,
    );
    await boot.demand(
      "for i in $(seq 120); do cat /var/lib/qward/manager/console/db/* 2>/dev/null | grep -q 'qward-demo: counter' && exit 0; sleep 0.5; done; exit 1",
    );
    await boot.demand(`sleep ${randomInt(3000) / 1000}`);
    await boot.powerOff();
    boot = await host.boot();
    const { ends, signalled, seconds } = await lastShutdown(boot);
    assert.match(ends, /^db: .*shut down$/m);
    assert.deepEqual(signalled, []);
    const { said, written } = await counterOf(boot, 'db');
    console.log(`round ${round}: ${said} told, ${written} on disk, ${seconds.toFixed(1)} s`);
    assert.ok(written >= said && said > 0, `the guest had said ${said}, its disk has ${written}`);
    await boot.demand('qemu-img check -q /var/lib/qward/images/db.qcow2');
  });
