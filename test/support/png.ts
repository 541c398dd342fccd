/** Reads a PNG as QEMU writes it: eight bits of red, green and blue, not interlaced (PNG specification, sections 9 and 11). */
import { inflateSync } from 'node:zlib';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green and blue of each pixel, row by row. */
  readonly pixels: Buffer;
}

/** Also counts the rows that are not black. */
export function readPng(png: Buffer): Picture & { readonly lit: number } {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const [depth, colour, , , interlace] = png.subarray(24, 29);
  if (depth !== 8 || colour !== 2 || interlace !== 0) throw new TypeError('not the PNG that QEMU writes');
  const parts: Buffer[] = [];
  for (let at = 8; at + 8 <= png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  const rows = inflateSync(Buffer.concat(parts));
  const stride = 3 * width;
  if (rows.length !== height * (1 + stride)) throw new RangeError(`${rows.length} bytes`);
  const pixels = Buffer.alloc(height * stride);
  let lit = 0;
  for (let row = 0; row < height; row += 1) {
    const from = rows.subarray(row * (1 + stride), (row + 1) * (1 + stride));
    unfilter(pixels, row * stride, from);
    if (pixels.subarray(row * stride, (row + 1) * stride).some((byte) => byte !== 0)) lit += 1;
  }
  return { width, height, pixels, lit };
}

/** One row: the byte of its filter, and differences to what is left of and above each byte. */
function unfilter(pixels: Buffer, start: number, row: Buffer): void {
  const stride = row.length - 1;
  for (let at = 0; at < stride; at += 1) {
    const left = at < 3 ? 0 : (pixels[start + at - 3] ?? 0);
    const up = start === 0 ? 0 : (pixels[start + at - stride] ?? 0);
    const corner = at < 3 || start === 0 ? 0 : (pixels[start + at - stride - 3] ?? 0);
    const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][row[0] ?? 0] ?? 0;
    pixels[start + at] = ((row[at + 1] ?? 0) + guess) & 255;
  }
}

function paeth(left: number, up: number, corner: number): number {
  const [toLeft, toUp, toCorner] = [up - corner, left - corner, left + up - 2 * corner].map(Math.abs);
  if (toLeft === undefined || toUp === undefined || toCorner === undefined) return 0;
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** Whether `part` lies in `whole` pixel for pixel, but for so many pixels (a cursor blinks). */
export function isShownIn(whole: Picture, part: Picture, different: number): boolean {
  for (let top = 0; top + part.height <= whole.height; top += 1)
    for (let left = 0; left + part.width <= whole.width; left += 1)
      if (liesAt(whole, part, { top, left, different })) return true;
  return false;
}

function liesAt(
  whole: Picture,
  part: Picture,
  { top, left, different }: { top: number; left: number; different: number },
): boolean {
  let wrong = 0;
  for (let y = 0; y < part.height; y += 1)
    for (let x = 0; x < part.width; x += 1) {
      const [here, there] = [3 * (y * part.width + x), 3 * ((top + y) * whole.width + left + x)];
      if (
        part.pixels[here] !== whole.pixels[there] ||
        part.pixels[here + 1] !== whole.pixels[there + 1] ||
        part.pixels[here + 2] !== whole.pixels[there + 2]
      )
        if ((wrong += 1) > different) return false;
    }
  return true;
}
