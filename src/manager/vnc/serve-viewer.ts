/** A viewer's WebSocket joined to QEMU's VNC server: binary frames both ways, and one notice in text at the end. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { ConsoleNotice } from '../../api/contract.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { screenOf } from './screen-of.ts';
import { maxViewers } from './viewers.ts';

/** What a viewer that does not read may let wait here; beyond it nothing more is read from QEMU. */
const maxUnsentBytes = 512 * 1024;
const goingAway = 1001;
const failed = 1011;

/** For this user, by name. */
export function openViewer(machine: Machine, user: string): Outcome<(socket: WebSocket) => void> {
  const { name } = machine;
  const shown = screenOf(machine);
  if (!shown.ok) return shown;
  const run = shown.value;
  if (run.viewers.full)
    return failure(
      'console-busy',
      `machine "${name}" has ${maxViewers} viewers already`,
      'let one of them end',
    );
  return success((socket) => void serve(socket, run, user));
}

async function serve(viewer: WebSocket, run: Run, user: string): Promise<void> {
  // Nothing is lost of what a viewer says before QEMU has it.
  viewer.pause();
  const { session } = run;
  const opened =
    session === undefined || run.viewers.full
      ? failure('monitor-failed', 'the machine takes no viewer now', 'try again')
      : await run.viewers.open(session, user);
  if (!opened.ok) {
    const message = opened.faults[0]?.message ?? '';
    tell(viewer, message);
    viewer.resume();
    viewer.close(failed, message.slice(0, 100));
    return;
  }
  join(viewer, opened.value);
}

function join(viewer: WebSocket, screen: Socket): void {
  // SECURITY: rule HTTP. Whose right ended while QEMU was asked is gone already, and would hold a place for ever.
  if (viewer.readyState !== viewer.OPEN) {
    screen.destroy();
    return;
  }
  screen.on('data', (bytes: Buffer) => {
    viewer.send(bytes, { binary: true }, () => {
      if (viewer.bufferedAmount <= maxUnsentBytes / 2 && screen.isPaused()) screen.resume();
    });
    // SECURITY: rule HTTP. A viewer that does not read costs a bounded amount of memory, here and in QEMU.
    if (viewer.bufferedAmount > maxUnsentBytes) screen.pause();
  });
  viewer.on('message', (data, isBinary) => {
    // SECURITY: rule HTTP. A viewer that floods waits for QEMU.
    if (isBinary && Buffer.isBuffer(data) && !screen.write(data)) viewer.pause();
  });
  screen.on('drain', () => viewer.resume());
  viewer.once('close', () => screen.destroy());
  screen.once('close', () => {
    viewer.resume();
    tell(viewer, 'the machine ended the view');
    viewer.close(goingAway);
  });
  if (screen.destroyed) viewer.close(goingAway);
  viewer.resume();
}

function tell(viewer: WebSocket, message: string): void {
  const notice: ConsoleNotice = { notice: 'ended', writer: false, message };
  if (viewer.readyState === viewer.OPEN) viewer.send(JSON.stringify(notice));
}
