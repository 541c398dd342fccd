/** The KVM probe's boot sector, assembled from resources/kvm-probe/probe.S, and the disk image that it is given on. */
import { open, readFile, rename, unlink } from 'node:fs/promises';

/** SHA-256 of the source that `code` was assembled from; a test tells when one was changed without the other. */
export const probeSourceSha256 = '9e45f4aa9f024e3865558e778f9505164b23ea7d63b6c25830a79e21d6ed26ed';

/** What the guest writes to its serial port when everything worked. */
export const probeMagic = 'qward: 64-bit paging works';

/** The sector up to the end of the message; the rest is zeroes and the boot signature. */
const code = [
  '+vzqB3wAADHAjtiOwI7QvAB8vwAQuQAo86vHBgAQAyDHBgAgAzDHBgAwA0C/AEBmuAMAAAC5AAJmiQVmBQAQAACDxwji8r8IMGa4',
  'gwAgALkHAGaJBWYFAAAgAIPHCOLyDyDgDSACDyLgZrgAEAAADyLYZrmAAADADzKAzAEPMA8BFqh9DyDAJPtmDQMAAIAPIsDql3wI',
  'ALgQAAAAjtiOwI7QvwAAIABIiT+BxwAQAACB/wAAAAFy74HvABAAAEg5Pw+FrwAAAIH/AAAgAHfpxwQlAEgAAAMAMAAPATwlAAAQ',
  'AIE8JQAAEAAAADAAD4WDAAAAZscEJeBQAAB5fccEJeJQAAAIAACODwEcJa59AABIiTwlEAAAAUg5PCUQAAABdVS5AC0xAWYPbslm',
  'D+/AMcCJy2YP1MFIAdgxzv/JdfNmSA9+wkg50HUsvrh9AAC7HAAAALr9AwAA85DsqCB0+br4AwAArO7/y3XpuUBCDwDzkOL869T0',
  '6/3HBCVAMAAAgwAAAUiDxAhIz2YPH0QAAAAAAAAAAAAAAAAAAACaIAAAAAAAAJIAABcAkH0AAO8AAFAAAAAAAABxd2FyZDogNjQt',
  'Yml0IHBhZ2luZyB3b3Jrcw0K',
].join('');

/** SeaBIOS boots no disk of less than one cylinder (504 KiB). */
export const probeImageBytes = 1024 * 1024;

export function probeBootSector(): Buffer {
  const sector = Buffer.alloc(512);
  Buffer.from(code, 'base64').copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** Puts the image at `path`, in a directory of the manager's own, unless it is there already. Throws what the disk says. */
export async function ensureKvmProbeImage(path: string): Promise<void> {
  const sector = probeBootSector();
  const present = await readFile(path).catch(() => undefined);
  if (present?.length === probeImageBytes && present.subarray(0, sector.length).equals(sector)) return;
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, 'w', 0o644);
    try {
      await file.writeFile(sector);
      await file.truncate(probeImageBytes);
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}
