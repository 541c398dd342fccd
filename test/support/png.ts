/** Reads a PNG as QEMU writes it: eight bits of red, green and blue, not interlaced (PNG specification, section 11). */
import { inflateSync } from 'node:zlib';

/** Pixels that are not black, and the size. */
export function readPng(png: Buffer): {
  readonly width: number;
  readonly height: number;
  readonly lit: number;
} {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const [depth, colour, , , interlace] = png.subarray(24, 29);
  if (depth !== 8 || colour !== 2 || interlace !== 0) throw new TypeError('not the PNG that QEMU writes');
  const parts: Buffer[] = [];
  for (let at = 8; at + 8 <= png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  const rows = inflateSync(Buffer.concat(parts));
  if (rows.length !== height * (1 + 3 * width)) throw new RangeError(`${rows.length} bytes`);
  // Unfiltered or not, a row that is black all through is zeros but for its filter's byte in the first black rows of all.
  let lit = 0;
  for (let row = 0; row < height; row += 1) {
    const start = row * (1 + 3 * width);
    if (rows.subarray(start + 1, start + 1 + 3 * width).some((byte) => byte !== 0)) lit += 1;
  }
  return { width, height, lit };
}
