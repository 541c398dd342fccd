/**
 * Promises 1 and 2: whatever shell `qward host up` is called from, its descriptors, variables and umask reach no daemon and no
 * QEMU, and nothing that qward makes can be read or written by others because of it. Needs root.
 */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { run, startInstance } from '../support/instance.ts';
import { define, granted, smallMachine, start } from '../support/small-machine.ts';

const token = 'qward-token-71c0de';

function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

/** Regular files and directories below, but for a tmpfs of bind mounts and images that the test made. */
function below(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'roots' ? [path] : [path, ...below(path)];
    return entry.isFile() ? [path] : [];
  });
}

test('descriptors, variables and umask of the shell end with it', async () => {
  await using instance = await startInstance({ down: true });
  const secret = `${instance.directory}/secret`;
  writeFileSync(secret, 'of the shell', { mode: 0o600 });
  const shell = `umask 0; exec "$@" 5< /etc/shadow 7<> ${secret} 8>> ${secret} 9< /etc`;
  const up = [...instance.program, 'host', 'up', ...instance.hostFlags];
  const outcome = await run(['/bin/sh', '-c', shell, 'sh', ...up], {
    ...instance.environment,
    QWARD_TOKEN: token,
    NODE_OPTIONS: '--no-deprecation',
  });
  assert.equal(outcome.status, 0, outcome.stderr);
  const { images, managerState } = instance.paths;
  await define(instance, smallMachine('one', ['firmware: uefi']).replace('32MiB', '64MiB'));
  const pid = await start(instance, 'one');
  const made = await instance.qward(['disk', 'create', `${images}/made.qcow2`, '8MiB']);
  assert.equal(made.status, 0, made.stderr);

  for (const [name, process] of Object.entries({
    broker: instance.daemon('broker'),
    manager: instance.daemon('manager'),
    QEMU: pid,
  })) {
    const got = descriptorsOf(process).filter((target) => [secret, '/etc/shadow', '/etc'].includes(target));
    assert.deepEqual(got, [], name);
    const environment = readFileSync(`/proc/${process}/environ`, 'latin1');
    assert.doesNotMatch(environment, new RegExp(`${token}|NODE_OPTIONS`), name);
    const umask = /^Umask:\s+(\d+)$/m.exec(readFileSync(`/proc/${process}/status`, 'latin1'))?.[1];
    assert.equal(umask, name === 'manager' ? '0077' : '0022', name);
  }

  const paths = [instance.roots.run, instance.roots.state].flatMap(below);
  assert.ok(paths.includes(`${images}/made.qcow2`) && paths.includes(`${managerState}/machines/one.yaml`));
  const open = paths.flatMap((path) => {
    const mode = lstatSync(path).mode & 0o777;
    return (mode & 0o022) === 0 ? [] : [`${path} ${mode.toString(8)}`];
  });
  assert.deepEqual(open, [], 'others can write it');
  const told = paths.filter((path) => lstatSync(path).isFile() && (lstatSync(path).mode & 0o004) !== 0);
  // What is not a secret, or lies where nobody else gets to.
  const harmless = [`${instance.roots.run}/host.json`, `${instance.paths.brokerRun}/`];
  assert.deepEqual(
    told.filter((path) => !harmless.some((known) => path.startsWith(known))),
    [],
    'others can read it',
  );
  granted(await instance.client.call('kill', { name: 'one' }));
});
