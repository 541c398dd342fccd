/** A TPM beside a machine: a guest uses it, its state is kept, and swtpm comes and goes with its machine whatever dies. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readFileSync, readdirSync } from 'node:fs';
import { after, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { consoleShows, defineDemo, done, refused, remains, statusOf, untilGone } from '../support/driver.ts';
import { createDemoDisk } from '../support/demo-guest.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';
import { sendKill } from '../support/send-kill.ts';
import { livesOn, until } from '../support/until.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const root = `${instance.paths.images}/web.qcow2`;
createDemoDisk(root);

const inGuest = (command: string): Promise<string> => guestRuns(instance, 'web', command);
const state = `${instance.paths.vars}/web.tpm`;

/** Commands of TPM 2.0 as bytes (TCG, part 3), since the guest has no tools: sent to /dev/tpm0, the answer in hexadecimal. */
const tell = (bytes: string): Promise<string> =>
  inGuest(
    `printf '${bytes.replaceAll(/(..)/g, String.raw`\x$1`)}' >/tmp/say; exec 5<>/dev/tpm0; cat /tmp/say >&5; dd bs=4096 count=1 <&5 2>/dev/null | hexdump -v -e '/1 "%02x"'; exec 5>&-`,
  );
/** TPM2_PCR_Extend of PCR 16 by SHA-256. */
const extend = `80020000004100000182000000100000000940000009000000000000000001000b${'a'.repeat(64)}`;
/** TPM2_NV_DefineSpace, _Write and _Read of eight bytes at 0x01500001; what is killed, without a shutdown, does not count as a wrong password there (TPMA_NV_NO_DA). */
const define = '80020000002d0000012a40000001000000094000000900000000000000000e01500001000b0206000600000008';
const write = '80020000002b00000137015000010150000100000009400000090000000000000871776172642d6f6b0000';
const read = '8002000000230000014e01500001015000010000000940000009000000000000080000';
const kept = /71776172642d6f6b/;
const done8 = /^8002[0-9a-f]{8}00000000/;
const register = (): Promise<string> => inGuest('cat /sys/class/tpm/tpm0/pcr-sha256/16');

interface Slots {
  readonly slots: Readonly<Record<string, number>>;
}
const servers = (): string[] => {
  const { slots } = JSON.parse(readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8')) as Slots;
  return Object.keys(slots).filter((name) => name.startsWith('qward-tpm-'));
};
function serverPid(): number {
  const [name = ''] = servers();
  const record = JSON.parse(readFileSync(`${instance.paths.brokerRun}/machines/${name}.json`, 'utf8')) as {
    readonly pid: number;
  };
  return record.pid;
}
const owners = (): string[] =>
  [state, ...readdirSync(state).map((name) => `${state}/${name}`)].map((path) => {
    const { uid, gid, mode } = lstatSync(path);
    return `${uid}:${gid} ${(mode & 0o777).toString(8)}`;
  });

let extended = '';

async function begin(): Promise<void> {
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /ready[\s\S]*# /, { replay: false });
}

test('the guest has a TPM 2.0, extends a register, and keeps a value in it', async () => {
  await defineDemo(instance, { name: 'web', disk: root, more: 'tpm: true' });
  await begin();
  assert.equal(await inGuest('cat /sys/class/tpm/tpm0/tpm_version_major'), '2');
  assert.equal(await register(), '0'.repeat(64));
  assert.match(await tell(extend), done8);
  extended = await register();
  assert.notEqual(extended, '0'.repeat(64));
  assert.match(await tell(define), done8);
  assert.match(await tell(write), done8);
  assert.match(await tell(read), kept);
});

test('the audit sees its walls, explain and status say that it is there', async () => {
  const report = JSON.parse(await done(instance, 'audit web --json')) as AuditReport;
  assert.ok(report.ok);
  const [server] = report.helpers ?? [];
  const found = Object.fromEntries((server?.rows ?? []).map(({ wall, verdict }) => [wall, verdict]));
  for (const wall of ['uid', 'capabilities', 'seccomp', 'root', 'descriptors', 'network-namespace'])
    assert.equal(found[wall], 'ok', JSON.stringify(server));
  assert.match(await done(instance, 'explain web'), /Beside it, for tpm\n +\S*swtpm/);
  assert.match(await done(instance, 'status web'), /beside it +tpm up/);
});

// SECURITY: promise 3. What swtpm writes is the manager's own, whatever uid it has.
test('its state belongs to the manager alone', () => {
  const { uid, gid } = lstatSync(instance.paths.vars);
  for (const owner of owners()) assert.match(owner, new RegExp(`^${uid}:${gid} (?:700|6[04]0)$`));
});

test('a saved machine has its registers again, and a snapshot those of its moment', async () => {
  await done(instance, 'snapshot create web first');
  assert.match(await tell(extend), done8);
  const twice = await register();
  assert.notEqual(twice, extended);
  await done(instance, 'save web');
  assert.deepEqual(servers(), []);
  await done(instance, 'start web');
  assert.equal(await register(), twice);
  assert.match(await tell(read), kept);
  await done(instance, 'kill web');
  await done(instance, 'snapshot revert web first --yes');
  await done(instance, 'start web');
  assert.equal(await register(), extended);
  await done(instance, 'kill web');
  await done(instance, 'snapshot rm web first --yes');
});

test('stopped and started, and renamed, it has what was kept, and its registers begin anew', async () => {
  assert.deepEqual(servers(), []);
  await done(instance, 'rename web mail');
  await done(instance, 'rename mail web');
  await begin();
  assert.equal(await register(), '0'.repeat(64));
  assert.match(await tell(read), kept);
});

test('a manager and a broker that are killed leave it as it is, and take it over', async () => {
  const before = serverPid();
  for (const daemon of ['manager', 'broker'] as const) {
    await killProcess(instance.daemon(daemon));
    await instance.up();
  }
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  assert.equal(serverPid(), before);
  assert.match(await tell(read), kept);
  assert.match(await done(instance, 'audit web'), /web, tpm {2}pid \d+ {2}\d+ walls stand/);
});

test('when swtpm is killed the machine goes on, says so, and has it again with the next start', async () => {
  const { pid } = await statusOf(instance, 'web');
  process.kill(serverPid(), 'SIGKILL');
  await until(async () => (await statusOf(instance, 'web')).beside[0]?.fault !== null, 'it is not seen');
  const now = await statusOf(instance, 'web');
  assert.deepEqual([now.pid, now.state], [pid, 'running']);
  assert.match(now.beside[0]?.fault ?? '', /swtpm ended.*after a stop and a start/);
  assert.match(await done(instance, 'logs web'), /tpm: swtpm ended/);
  await until(() => servers().length === 0, 'a uid is kept');
  await done(instance, 'kill web');
  await begin();
  assert.match(await tell(read), kept);
});

test('nothing is left of it when QEMU is killed, nor after manager, broker, QEMU and swtpm are', async () => {
  for (const victims of [[], ['manager', 'broker']] as const) {
    const [{ pid }, server, [name = '']] = [await statusOf(instance, 'web'), serverPid(), servers()];
    for (const victim of victims) await killProcess(instance.daemon(victim));
    sendKill(pid);
    if (victims.length > 0) process.kill(server, 'SIGKILL');
    if (victims.length > 0) await instance.up();
    await untilGone(instance, 'web');
    await untilGone(instance, name);
    await until(() => servers().length === 0, 'a uid is kept');
    await until(() => !livesOn(server), 'swtpm lives on');
    await begin();
    assert.match(await tell(read), kept);
  }
  await done(instance, 'kill web');
  assert.match(await done(instance, 'drill web'), /all \d+ attempts blocked/);
});

test('without swtpm the machine is refused, with the cure, and a machine that is removed leaves no state', async () => {
  instance.writePolicy({ tpmServers: ['/usr/bin/swtpm-of-nobody'] });
  assert.match(await refused(instance, 'start web'), /needs swtpm[\s\S]*apt install swtpm/);
  assert.match(
    await done(instance, 'doctor').catch((error: unknown) => String(error)),
    /TPM[\s\S]*apt-get install swtpm/,
  );
  assert.deepEqual(remains(instance, 'web'), []);
  await done(instance, 'rm web --yes');
  assert.equal(existsSync(state), false);
});

test('Secure Boot refuses what no key vouches for, and without it the same is started', async () => {
  for (const [secureBoot, shows] of [
    [true, /EFI Internal Shell[\s\S]*Security Violation/],
    [false, /UEFI Interactive Shell/],
  ] as const) {
    const yaml = `name: firm\naccel: tcg\nmemory: 128MiB\nfirmware: uefi\nsecureBoot: ${String(secureBoot)}\n`;
    await done(instance, 'define --replace -', { stdin: yaml });
    await done(instance, 'start firm');
    await consoleShows(instance, 'firm', shows);
    assert.match(await done(instance, 'audit firm'), /walls stand/);
    await done(instance, 'kill firm');
  }
});
