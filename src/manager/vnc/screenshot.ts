/**
 * The screen of a running machine as a PNG. QEMU writes it into a file in the manager's memory that it is handed for just that;
 * it needs no path, and what it writes counts as memory of its own.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { memoryFile } from '../../linux/descriptors.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { screenOf } from './screen-of.ts';
import { whenFree } from '../handed-sockets.ts';

/** A screen of 7680 × 4320 that cannot be compressed has about 100 MiB; real ones have far less. */
const maxPngBytes = 32 * 1024 * 1024;
const maxSide = 32_768;

export interface Screenshot {
  readonly png: Buffer;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

export async function takeScreenshot(machine: Machine): Promise<Outcome<Screenshot>> {
  const shown = screenOf(machine);
  if (!shown.ok) return shown;
  const session = machine.session();
  if (!session.ok) return session;
  const file = memoryFile('qward-screenshot');
  try {
    const dumped = await dump(session.value, file);
    if (!dumped.ok)
      return failure('monitor-failed', `machine "${machine.name}": ${dumped.message}`, 'try again');
    return readPng(machine.name, file);
  } finally {
    closeSync(file);
  }
}

async function dump(
  session: QmpSession,
  file: number,
): Promise<{ readonly ok: true } | { readonly ok: false; readonly message: string }> {
  // QEMU takes a descriptor of a set for a file only where it was opened just as the file would be: to be written.
  const descriptor = openSync(`/proc/self/fd/${file}`, constants.O_WRONLY);
  const added = await whenFree(() => commands.addFd(session, { descriptor })).finally(() =>
    closeSync(descriptor),
  );
  if (!added.ok) return added;
  try {
    return await commands.screendump(session, { path: `/dev/fdset/${added.value}` });
  } finally {
    await commands.removeFd(session, { set: added.value });
  }
}

const signature = Buffer.from('89504e470d0a1a0a', 'hex');

/** SECURITY: rule QMP. What a hostile QEMU wrote is bounded, and is a PNG as far as its head tells; nobody here decodes it. */
function readPng(machine: string, file: number): Outcome<Screenshot> {
  const { size } = fstatSync(file);
  const fault = (what: string): Outcome<never> =>
    failure('monitor-failed', `machine "${machine}": QEMU wrote ${what} for a picture`, 'try again');
  if (size > maxPngBytes) return fault(`${size} bytes`);
  const png = Buffer.alloc(size);
  if (readSync(file, png, 0, size, 0) !== size || size < 24) return fault('too little');
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const sane = (side: number): boolean => side > 0 && side <= maxSide;
  if (!png.subarray(0, 8).equals(signature) || png.toString('latin1', 12, 16) !== 'IHDR')
    return fault('something else than PNG');
  return sane(width) && sane(height) ? success({ png, width, height }) : fault(`${width} × ${height} pixels`);
}
