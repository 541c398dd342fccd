/** The demo guest under a bare QEMU: what the tests of whole machines rest on. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildDemoGuest, createDemoDisk, readyLine } from '../support/demo-guest.ts';

interface Booted extends AsyncDisposable {
  /** Resolves when the serial console has said it; rejects where the guest ends before. */
  readonly said: (text: string) => Promise<void>;
  readonly pressPowerButton: () => void;
  readonly ended: Promise<unknown>;
}

function boot(switches: string): Booted {
  const directory = mkdtempSync(join(tmpdir(), 'qward-guest-'));
  const guest = buildDemoGuest();
  const disk = join(directory, 'disk.qcow2');
  createDemoDisk(disk);
  const monitor = join(directory, 'monitor');
  const machine = [
    '-M',
    'q35',
    '-accel',
    'tcg',
    '-cpu',
    'max',
    '-m',
    '96',
    '-display',
    'none',
    '-nodefaults',
  ];
  const kernel = [
    '-kernel',
    guest.kernel,
    '-initrd',
    guest.initrd,
    '-append',
    `${guest.cmdline} ${switches}`,
  ];
  const devices = ['-drive', `if=virtio,format=qcow2,file=${disk}`, '-serial', 'stdio'];
  const argv = [...machine, ...kernel, ...devices, '-monitor', `unix:${monitor},server=on,wait=off`];
  const child = spawn('qemu-system-x86_64', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  let output = '';
  child.stdout.on('data', (piece: Buffer) => (output += piece.toString('latin1')));
  const said = async (text: string): Promise<void> => {
    while (!output.includes(text)) {
      const more = await Promise.race([once(child.stdout, 'data'), ended.then(() => undefined)]);
      if (more === undefined && !output.includes(text))
        assert.fail(`the guest ended without "${text}":\n${output}`);
    }
  };
  const pressPowerButton = (): void => {
    const socket = connect(monitor);
    socket.on('error', () => {});
    socket.write('system_powerdown\n');
    socket.unref();
  };
  const dispose = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true });
  };
  return { said, pressPowerButton, ended, [Symbol.asyncDispose]: dispose };
}

test('it says that it is ready, sees its disk, and powers off at the power button', async () => {
  await using guest = boot('');
  await guest.said('qward-demo: disk vda, 64 MiB');
  await guest.said(readyLine);
  guest.pressPowerButton();
  await guest.said('power button, shutting down');
  await guest.ended;
});

test('with qward.noacpi it does not hear the power button; with qward.counter it writes to its disk', async () => {
  await using guest = boot('qward.noacpi qward.counter');
  await guest.said(readyLine);
  guest.pressPowerButton();
  await guest.said('qward-demo: counter 51');
  await guest.said('qward-demo: counter 101');
});
