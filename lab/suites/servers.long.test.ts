/** What serves a machine beside its networks, under its AppArmor profile on a real host: swtpm for a TPM, virtiofsd for a folder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestScript } from '../payload.ts';
import { installedHost } from '../suite-host.ts';
import { bringProgram, commandsInGuests, untilConsole } from '../world.ts';

const host = await installedHost({ bring: (directory) => bringProgram(directory, 'in-guest') });
const inGuest = commandsInGuests(host);
const data = '/var/lib/qward/images/data';

interface Audit {
  readonly ok: boolean;
  readonly helpers?: readonly {
    readonly ok: boolean;
    readonly rows: readonly { readonly wall: string; readonly found: string }[];
  }[];
}
const labels = async (): Promise<readonly string[]> => {
  const { ok, helpers = [] } = JSON.parse(await host.demand('qward audit web --json', 120_000)) as Audit;
  assert.ok(ok);
  for (const helper of helpers) assert.ok(helper.ok, JSON.stringify(helper));
  return helpers
    .flatMap(({ rows }) => rows.filter(({ wall }) => wall === 'lsm').map(({ found }) => found))
    .sort();
};

test('a guest has a TPM and a folder, whose servers stand behind their walls and under their profiles', async () => {
  await host.demand(
    `useradd ann && mkdir ${data} && echo hello >${data}/from-host && chown -R ann:ann ${data}`,
  );
  const more = `tpm: true\nshares: [{ tag: data, path: ${data} }]`;
  await host.demand(guestScript('web', 'qward.shares', more));
  await host.demand('qward start web', 300_000);
  await host.demand(untilConsole('web', 'qward-demo: ready'), 300_000);
  assert.deepEqual(await labels(), ['label qward-swtpm (enforce)', 'label qward-virtiofsd (enforce)']);
});

test('the guest reads and writes the folder, as its owner', async () => {
  assert.equal(
    await inGuest('web', 'mkdir -p /tmp/a; mount -t virtiofs data /tmp/a && cat /tmp/a/from-host'),
    'hello',
  );
  await inGuest('web', 'echo made >/tmp/a/made; mkdir /tmp/a/d; mv /tmp/a/made /tmp/a/d/; sync');
  assert.equal(
    await host.demand(`stat -c '%U %n' ${data}/d/made && cat ${data}/d/made`),
    `ann ${data}/d/made\nmade\n`,
  );
});

test('the TPM answers, and keeps its state with the machine', async () => {
  assert.match(await inGuest('web', 'cat /sys/class/tpm/tpm0/pcr-sha256/16'), /^0{64}$/);
  await host.demand('qward stop web && qward start web', 300_000);
  await host.demand(untilConsole('web', 'qward-demo: ready'), 300_000);
  assert.equal((await labels()).length, 2);
});

test('nothing of it was refused by a profile, and the drill finds every way closed', async () => {
  await host.demand('qward kill web');
  assert.match(await host.demand('qward drill web', 300_000), /all \d+ attempts blocked/);
  assert.equal(
    (
      await host.demand(
        `dmesg | grep 'apparmor="DENIED"' | grep -E 'profile="qward-(swtpm|virtiofsd)' || true`,
      )
    ).trim(),
    '',
  );
});
