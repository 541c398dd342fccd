/** Words of a definition's own for QEMU: they run in the same jail, and what they cannot reach is told before the start. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, smallMachine, start } from '../support/small-machine.ts';

let instance: Instance;

before(async () => {
  instance = await startInstance();
});

after(async () => {
  await instance[Symbol.asyncDispose]();
});

test('arguments, variables and commands reach QEMU, and every wall stands', async () => {
  await define(
    instance,
    smallMachine('passed', [
      'qemu:',
      "  args: [-chardev, 'null,id=mine', -bios, /usr/share/seabios/bios.bin]",
      '  env: [{name: QWARD_TEST, value: "a=b c"}, {name: empty}]',
      '  qmp:',
      '    - {execute: chardev-add, arguments: {id: added, backend: {type: "null", data: {}}}}',
      '    - {execute: chardev-remove, arguments: {id: mine}, when: running}',
    ]),
  );
  const explained = await instance.qward(['explain', 'passed']);
  assert.match(explained.stdout, /passes words of its own to QEMU/);
  assert.match(explained.stdout, /-bios +file \/usr\/share\/seabios\/bios\.bin \(ro\) +by the system files/);
  const pid = await start(instance, 'passed');
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  assert.ok(environment.includes('QWARD_TEST=a=b c') && environment.includes('empty='), environment.join());
  const chardevs = await instance.qward(['qmp', 'passed', 'query-chardev']);
  assert.match(chardevs.stdout, /"added"/);
  assert.doesNotMatch(chardevs.stdout, /"mine"/);
  const audit = await instance.qward(['audit', 'passed', '--json']);
  assert.equal((JSON.parse(audit.stdout) as AuditReport).ok, true, audit.stdout);
  await instance.qward(['kill', 'passed']);
});

test('what an argument names and the jail does not show is told before the start, with the line', async () => {
  await define(
    instance,
    smallMachine('wants', ["qemu: {args: [-bios, /srv/none.bin, -gdb, 'tcp::1234,server']}"]),
  );
  const { status, stderr } = await instance.qward(['start', 'wants']);
  assert.equal(status, 1);
  assert.match(stderr, /qemu\.args\[0\]: -bios names file "\/srv\/none\.bin", which the jail does not show/);
  assert.match(stderr, /confinement: \{files: \[\{path: "\/srv\/none\.bin", access: ro\}\]\}/);
  assert.match(stderr, /-gdb names network listens ":1234"[\s\S]*confinement: \{namespaces: \{net: host\}\}/);
});

test('an argument that would break a wall or the control of qward is refused, with rule and cure', async () => {
  await define(instance, smallMachine('breaks', ['qemu: {args: [-sandbox, "off", -daemonize]}']));
  const { status, stderr } = await instance.qward(['start', 'breaks']);
  assert.equal(status, 2);
  assert.match(stderr, /-sandbox off is refused \(seccomp-by-name\)[\s\S]*Set confinement\.seccomp/);
  assert.match(stderr, /-daemonize is refused \(one-process\)/);
});

test('a command that QEMU refuses fails the start, and nothing is left', async () => {
  await define(instance, smallMachine('wrong', ['qemu: {qmp: [{execute: no-such-command}]}']));
  const { status, stderr } = await instance.qward(['start', 'wrong']);
  assert.equal(status, 1);
  assert.match(stderr, /qemu\.qmp\[0\] \(no-such-command\): .*not been found/);
  assert.match((await instance.qward(['status', 'wrong'])).stdout, /failed/);
});

test('files, directories and sockets that are granted are reached by their own paths, and the audit knows them', async () => {
  const { images } = instance.paths;
  const [logs, path] = [`${images}/logs`, `${images}/side.sock`];
  mkdirSync(logs);
  const server = createServer((peer) => peer.on('error', () => undefined).write('x')).listen(path);
  await once(server, 'listening');
  try {
    instance.writePolicy({ sockets: [{ path }] });
    const words = [
      '-chardev',
      `file,id=mine,path=${logs}/out`,
      '-chardev',
      `socket,id=side,path=${path}`,
      '-bios',
      `${images}/fw.bin`,
    ];
    copyFileSync('/usr/share/seabios/bios.bin', `${images}/fw.bin`);
    chmodSync(`${images}/fw.bin`, 0o600);
    const source = (more: readonly string[]): string =>
      smallMachine('reaches', [`qemu: {args: ${JSON.stringify(words)}}`, ...more]);
    await define(instance, source([]));
    const { stderr } = await instance.qward(['start', 'reaches']);
    const cures = [...stderr.matchAll(/add to the definition: confinement: \{(\w+): \[(.*?)\]\}/g)];
    assert.equal(cures.length, 3, stderr);
    // The lines to add are exact: with them it starts. A file that is not there yet needs its directory.
    const of = (key: string): string =>
      cures.flatMap(([, name, items]) => (name === key ? [items] : [])).join(', ');
    const files = of('files').replace(`${logs}/out`, logs);
    assert.equal((await instance.qward(['rm', 'reaches', '--yes'])).status, 0);
    await define(instance, source([`confinement: {files: [${files}], sockets: [${of('sockets')}]}`]));
    await start(instance, 'reaches');
    const audit = await instance.qward(['audit', 'reaches', '--json']);
    assert.equal((JSON.parse(audit.stdout) as AuditReport).ok, true, audit.stdout);
    assert.equal(statSync(`${logs}/out`).uid, 0);
    assert.match(
      (await instance.qward(['explain', 'reaches'])).stdout,
      /-bios +file .*fw\.bin \(ro\) +by confinement\.files/,
    );
    await instance.qward(['kill', 'reaches']);
    assert.equal((await instance.qward(['drill', 'reaches'])).status, 0);
  } finally {
    server.close();
  }
});

test('what was denied at run time is answered with the grant that would allow it', async () => {
  // Nothing tells that this property is a path; QEMU does, when it fails.
  const words = ['-machine', 'firmware=/srv/none/bios.bin'];
  await define(instance, smallMachine('denied', [`qemu: {args: ${JSON.stringify(words)}}`]));
  const { status, stderr } = await instance.qward(['start', 'denied']);
  assert.equal(status, 1);
  assert.match(stderr, /qward why denied/);
  const why = await instance.qward(['why', 'denied']);
  assert.equal(why.status, 0);
  assert.match(why.stdout, /wanted file "\/srv\/none\/bios\.bin"/);
  assert.match(why.stdout, /confinement: \{files: \[\{path: "\/srv\/none\/bios\.bin", access: ro\}\]\}/);
  await define(instance, smallMachine('content'));
  assert.match((await instance.qward(['why', 'content'])).stdout, /nothing that it said/);
});
