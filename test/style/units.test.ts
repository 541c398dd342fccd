/** The units of systemd: that it understands them, how confined they are, and what a shutdown of the host rests on. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const directory = resolve(import.meta.dirname, '../../packaging/systemd');
const userDirectory = resolve(directory, '../systemd-user');
const units = readdirSync(directory).filter((name) => !name.endsWith('.conf'));

/** Values of a key, in order. */
function values(unit: string, key: string): string[] {
  const lines = readFileSync(join(directory, unit), 'utf8').matchAll(/^([A-Za-z]+)=(.*)$/gm);
  return [...lines].flatMap(([, name, value = '']) => (name === key ? value.split(' ') : []));
}

function analyze(...words: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync('systemd-analyze', words, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(error, undefined);
  return stdout + stderr;
}

test('systemd understands each line of each unit', () => {
  const report = analyze('verify', '--man=no', ...units.map((name) => join(directory, name)));
  // The programs come with the package, and units of the host that runs this are not ours.
  const names = readdirSync(userDirectory).filter((name) => !name.endsWith('.conf'));
  const ofUsers = names.map((name) => join(userDirectory, name));
  const faults = (report + analyze('verify', '--user', '--man=no', ...ofUsers))
    .split('\n')
    .filter(
      (line) => line.includes('qward') && !/is not executable: No such file|Unit \S+ not found/.test(line),
    );
  assert.deepEqual(faults, []);
});

// What keeps each from less is said in the unit. The broker mounts, makes namespaces and hands its filters on to every QEMU.
for (const [unit, most] of [
  ['qward-manager.service', 2],
  ['qward-broker.service', 8.7],
] as const)
  test(`${unit} is exposed ${most} at most`, () => {
    const report = analyze('security', '--offline=yes', '--no-pager', join(directory, unit));
    const score = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(report)?.[1]);
    assert.ok(score <= most, report);
  });

test('while the host goes down machines have a manager and a broker', () => {
  for (const unit of units.filter((name) => /^qward-(?:broker|claims|manager)\./.test(name))) {
    assert.deepEqual(values(unit, 'DefaultDependencies'), ['no'], unit);
    assert.deepEqual(values(unit, 'Conflicts'), [], unit);
    assert.equal(values('qward-machines.service', 'After').includes(unit), unit.endsWith('.socket'), unit);
  }
  assert.deepEqual(values('qward.slice', 'DefaultDependencies'), ['no']);
  // What is ordered beside a unit with a stop job waits for it, and would wait for ever.
  for (const unit of ['qward-broker.service', 'qward-manager.service'])
    for (const other of values(unit, 'After')) assert.match(other, /^qward-.*\.socket$/, unit);
  assert.deepEqual(values('qward-.scope.conf', 'DefaultDependencies'), ['no']);
  for (const key of ['Before', 'After', 'Conflicts', 'PartOf'])
    assert.deepEqual(values('qward-.scope.conf', key), []);
});

test('nothing that happens to a daemon stops the unit that stops machines', () => {
  for (const key of ['Requires', 'BindsTo', 'PartOf', 'Requisite'])
    assert.deepEqual(values('qward-machines.service', key), [], key);
});

// SECURITY: promise 5. A filter of the broker's would be inherited by every QEMU, and be counted for QEMU's own.
test('the broker hands no filter of system calls on to its machines', () => {
  const text = readFileSync(join(directory, 'qward-broker.service'), 'utf8');
  assert.doesNotMatch(
    text,
    /^(SystemCall\w+|Restrict\w+|LockPersonality|MemoryDenyWriteExecute|ProtectClock|ProtectHostname|ProtectKernel\w+|PrivateDevices|NoNewPrivileges)=/m,
  );
});
