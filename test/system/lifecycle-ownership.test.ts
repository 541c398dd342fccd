/** Promise 7: nothing is ever chowned, chmodded or relabelled for a machine, whatever dies. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, statSync } from 'node:fs';
import { after, test } from 'node:test';
import {
  consoleShows,
  defineDemo,
  done,
  nextEvent,
  processesOf,
  remains,
  statusOf,
} from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { makeImage } from '../support/test-launch.ts';
import { sendKill } from '../support/send-kill.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

const { images } = instance.paths;
const path = (name: string): string => `${images}/${name}`;
const written = ['root.qcow2'];
const readOnly = ['base.qcow2', 'data.raw', 'install.iso', 'vmlinuz', 'initrd'];

/** Each file by another's account, with a mode, an ACL and a label of its own; none of them is open to everybody. */
function makeFiles(): void {
  makeImage(path('base.qcow2'), 'qcow2', '64M');
  const overlay = [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    path('base.qcow2'),
    '-F',
    'qcow2',
    path('root.qcow2'),
  ];
  execFileSync('qemu-img', overlay);
  makeImage(path('data.raw'), 'raw');
  makeImage(path('install.iso'), 'raw');
  copyFileSync(instance.guest.kernel, path('vmlinuz'));
  copyFileSync(instance.guest.initrd, path('initrd'));
  for (const [index, name] of [...written, ...readOnly].entries()) {
    chownSync(path(name), 4_000_000 + index, 5_000_000 + index);
    chmodSync(path(name), name.startsWith('root') ? 0o600 : 0o440);
    execFileSync('setfacl', ['-m', `user:${6_000_000 + index}:r`, path(name)]);
    execFileSync('setfattr', ['-n', 'user.qward-test', '-v', `label ${index}`, path(name)]);
  }
}

function look(): Record<string, unknown> {
  const of = (name: string): unknown => {
    const { uid, gid, mode, ino, nlink, mtimeMs, ctimeMs } = statSync(path(name));
    const times = readOnly.includes(name) ? { mtimeMs, ctimeMs } : {};
    const acl = execFileSync('getfacl', ['-np', path(name)], { encoding: 'utf8' });
    const labels = execFileSync('getfattr', ['-d', '-m', '-', '--absolute-names', path(name)], {
      encoding: 'utf8',
    });
    return { uid, gid, mode, ino, nlink, ...times, acl, labels };
  };
  return Object.fromEntries([...written, ...readOnly].map((name) => [name, of(name)]));
}

test('owner, mode, ACL and labels of every file are the same before, during and after, whatever dies', async () => {
  makeFiles();
  const guest = { ...instance.guest, kernel: path('vmlinuz'), initrd: path('initrd') };
  await defineDemo(instance, {
    name: 'web',
    guest,
    switches: 'qward.counter',
    more: [
      'disks:',
      `  - { id: root, path: ${path('root.qcow2')}, format: qcow2, backing: [{ path: ${path('base.qcow2')}, format: qcow2 }] }`,
      `  - { id: data, path: ${path('data.raw')}, format: raw, readonly: true }`,
      `cdroms: [{ id: install, path: ${path('install.iso')} }]`,
    ].join('\n'),
  });
  const before = look();
  const same = (when: string): void => assert.deepEqual(look(), before, when);
  const sizeBefore = statSync(path('root.qcow2')).size;

  await done(instance, 'explain web');
  same('explained');
  await done(instance, 'start web');
  same('started');
  await consoleShows(instance, 'web', 'counter 1');
  assert.ok(statSync(path('root.qcow2')).size > sizeBefore, 'the guest writes to its disk');
  same('while the guest writes');
  assert.equal(await done(instance, 'stop web'), 'web: shut down');
  same('shut down');

  await done(instance, 'start web');
  const crash = await nextEvent(instance, ({ event }) => event === 'machine.crashed');
  sendKill((await statusOf(instance, 'web')).pid);
  await crash.arrived;
  same('QEMU was killed');

  await done(instance, 'start web');
  for (const daemon of ['broker', 'manager'] as const) {
    process.kill(instance.daemon(daemon), 'SIGKILL');
    same(`the ${daemon} was killed`);
    await instance.up();
    // QEMU's monitor may not have answered the new manager yet.
    for (let times = 0; (await statusOf(instance, 'web')).state !== 'running'; times += 1) {
      assert.ok(times < 50, 'the machine is seen again');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    same(`the ${daemon} is back`);
  }
  for (const daemon of ['broker', 'manager'] as const) process.kill(instance.daemon(daemon), 'SIGKILL');
  sendKill(processesOf(instance, 'web')[0]);
  same('everything was killed');
  await instance.up();
  assert.match(await done(instance, 'wait web'), /^web: (?:crashed|stopped)$/);
  same('everything is back');
  assert.deepEqual(remains(instance, 'web'), []);

  await done(instance, 'rm web');
  same('removed');
});
