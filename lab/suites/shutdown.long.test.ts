/**
 * The host goes down again and again, at any moment of guests that write and fsync a counter: what each told is on its disk, each was
 * let end by itself, and systemd signalled none. LAB_ROUNDS says how often the host goes down (20), LAB_GUESTS
 * with which guests (db).
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, test } from 'node:test';
import { countersOf, guestScript, lastShutdown } from '../payload.ts';
import { installedHost, keepJournal } from '../suite-host.ts';

const rounds = Number(process.env['LAB_ROUNDS'] ?? 20);
// One by default: with several the translator's SVM hangs a guest once in a while.
const names = (process.env['LAB_GUESTS'] ?? 'db').split(',');
const consoles = '/var/lib/qward/manager/console';
const host = await installedHost({
  prepare: [keepJournal, ...names.map((name) => `(${guestScript(name, 'qward.synced')}\n)`)].join('\n'),
});

const told: string[] = [];
after(() => console.log(`told and found on disk, each of ${names.length} guests:\n${told.join('\n')}`));

const untilAllCount = `for i in $(seq 300); do
  counting=0
  for name in ${names.join(' ')}; do
    if grep -qs 'qward-demo: synced' ${consoles}/$name/*; then counting=$((counting + 1)); fi
  done
  if [ $counting = ${names.length} ]; then exit 0; fi
  sleep 0.5
done
exit 1`;

for (let round = 1; round <= rounds; round++)
  test(`round ${round} of ${rounds}`, async () => {
    await host.demand(
      `modprobe kvm_amd; rm -rf ${consoles}/*/*; qward start ${names.join(' ')}\n${untilAllCount}`,
      240_000,
    );
    await host.demand(`sleep ${randomInt(3000) / 1000}`);
    await host.reboot();
    const { ends, signalled, seconds } = await lastShutdown(host);
    assert.deepEqual(signalled, []);
    for (const name of names) assert.match(ends, new RegExp(`^${name}: .*shut down$`, 'm'));
    const counters = await countersOf(host, ...names);
    told.push(
      `${round}: ${counters.map(({ said, written }) => `${said} ≤ ${written}`).join(', ')}; ${seconds.toFixed(1)} s`,
    );
    for (const { said, written } of counters) assert.ok(written >= said && said > 0, told.at(-1) ?? '');
  });
