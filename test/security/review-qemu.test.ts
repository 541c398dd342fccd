/** Promise 2 and rule QMP against a taken-over QEMU: what its own descriptors let it do. Needs root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { startTestBroker } from '../support/broker.ts';
import { linesUntilEnd, perlLaunch } from '../support/perl-launch.ts';
import { testLaunch } from '../support/test-launch.ts';

const devices = (): string[] => readdirSync('/sys/class/net');

/** A bridge of the host for the time of the test. */
function makeBridge(): Disposable & { readonly name: string } {
  const name = `qwr${randomBytes(4).toString('hex')}`;
  execFileSync('ip', ['link', 'add', name, 'type', 'bridge']);
  return { name, [Symbol.dispose]: () => void execFileSync('ip', ['link', 'del', name]) };
}

const TUNSETPERSIST = 0x400454cb;
const SIOCSIFHWADDR = 0x8924;
const F_SETLEASE = 1024;

test('no TAP outlives its machine or takes an address, and no lease on the log holds up the manager', async () => {
  using bridge = makeBridge();
  await using broker = await startTestBroker({ bridges: [bridge.name], qemuBinaries: ['/usr/bin/perl'] });
  // The kernel reads 32 bits of an ioctl's number; a filter that compares 64 is passed by any bit above.
  const script = `
    $| = 1; $SIG{IO} = 'IGNORE'; open(my $tap, '+<&=', 4) or die; my $one = 1; my $address = "\\0" x 40;
    sub tell_of { print $_[0], ' ', (defined $_[1] ? 'done' : 'refused'), "\\n" }
    tell_of('persist', ioctl($tap, ${TUNSETPERSIST}, $one));
    tell_of('persist-64', syscall(16, 4, ${TUNSETPERSIST} | (1 << 40), 1) < 0 ? undef : 1);
    tell_of('address', ioctl($tap, ${SIOCSIFHWADDR}, $address));
    tell_of('lease', fcntl(STDOUT, ${F_SETLEASE}, 1));
    print "end\\n"; sleep 60;`;
  const base = await testLaunch('one');
  const launch = perlLaunch(
    { ...base, descriptors: [...base.descriptors, { kind: 'tap', bridge: bridge.name }] },
    script,
  );
  const before = devices();
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  const tap = devices().find((name) => !before.includes(name));
  const lines = await linesUntilEnd(reply.result.log);
  await broker.ask({ v: 1, call: 'kill', machine: 'one' });
  const left = devices().filter((name) => name === tap);
  for (const name of left) execFileSync('ip', ['link', 'del', name]);
  assert.deepEqual(left, []);
  assert.deepEqual(lines, [
    'persist refused',
    'persist-64 refused',
    'address refused',
    'lease refused',
    'end',
  ]);
});

test('QEMU itself lives with its TAP under the filter', async () => {
  using bridge = makeBridge();
  await using broker = await startTestBroker({ bridges: [bridge.name] });
  const network = ['-netdev', 'tap,id=n0,fd=4', '-device', 'virtio-net-pci,netdev=n0,romfile='];
  const launch = await testLaunch('one', [{ kind: 'tap', bridge: bridge.name }], network);
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  const { pid, log } = reply.result;
  // Its second filter comes after its devices were made.
  const filters = (): string | undefined =>
    /^Seccomp_filters:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  while (filters() === '1') await delay(20);
  assert.equal(readFileSync(log, 'utf8'), '');
  assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
});
