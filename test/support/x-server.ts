/** An X server without a screen (Xvfb), whose frame buffer is a file: what a person would see of a window is read from it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Picture } from './png.ts';

export interface XServer extends AsyncDisposable {
  /** DISPLAY. */
  readonly display: string;
  readonly look: () => Picture;
}

export async function startXServer(): Promise<XServer> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-x-'));
  const words = ['--pdeathsig', 'KILL', 'Xvfb', '-displayfd', '3', '-screen', '0', '1024x768x24'];
  const child = spawn('setpriv', [...words, '-nolisten', 'tcp', '-fbdir', directory], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'close');
  const [number] = (await Promise.race([
    once(child.stdio[3] ?? child, 'data'),
    ended.then(() => Promise.reject(new Error('Xvfb ended'))),
  ])) as [Buffer];
  return {
    display: `:${number.toString().trim()}`,
    look: () => readXwd(readFileSync(join(directory, 'Xvfb_screen0'))),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** X11/XWDFile.h: words with the most significant byte first, a table of colours, rows of the screen. */
function readXwd(dump: Buffer): Picture {
  const word = (index: number): number => dump.readUInt32BE(4 * index);
  const [width, height, bits, stride] = [word(4), word(5), word(11), word(12)];
  if (bits !== 32) throw new TypeError(`${bits} bits for each pixel`);
  const start = word(0) + 12 * word(19);
  const pixels = Buffer.alloc(3 * width * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const at = start + y * stride + 4 * x;
      // Blue, green, red: the masks of a server on x86.
      pixels.set([dump[at + 2] ?? 0, dump[at + 1] ?? 0, dump[at] ?? 0], 3 * (y * width + x));
    }
  return { width, height, pixels };
}
