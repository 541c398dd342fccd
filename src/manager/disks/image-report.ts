/** qemu-img's JSON about an image, held to its form: an image may have chosen names and numbers in it. Pure. */
import type { DiskCheck, DiskImage } from '../../api/disk-contract.ts';
import { mostSnapshots } from '../../plan/image-snapshots.ts';
import { capText } from '../log.ts';

type Json = Readonly<Record<string, unknown>>;

const objectOf = (value: unknown): Json =>
  typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
const sizeOf = (value: unknown): number =>
  typeof value === 'number' && value >= 0 ? Math.min(Number.MAX_SAFE_INTEGER, Math.floor(value)) : 0;
const textOf = (value: unknown): string | null => (typeof value === 'string' ? capText(value, 1100) : null);

export function parseImageInfo(path: string, info: Json): DiskImage {
  const specific = objectOf(objectOf(info['format-specific'])['data']);
  const snapshots: unknown = info['snapshots'];
  return {
    path,
    format: textOf(info['format']) ?? '',
    virtualSize: sizeOf(info['virtual-size']),
    actualSize: sizeOf(info['actual-size']),
    clusterSize: info['cluster-size'] === undefined ? null : sizeOf(info['cluster-size']),
    backing: textOf(info['backing-filename']),
    backingFormat: textOf(info['backing-filename-format']),
    corrupt: specific['corrupt'] === true,
    dirty: info['dirty-flag'] === true,
    snapshots: (Array.isArray(snapshots) ? snapshots : []).slice(0, mostSnapshots).map(parseSnapshot),
  };
}

function parseSnapshot(value: unknown): DiskImage['snapshots'][number] {
  const snapshot = objectOf(value);
  const seconds = sizeOf(snapshot['date-sec']);
  // Dates end at 8.64e15 ms.
  const at = seconds <= 8.64e12 ? new Date(seconds * 1000).toISOString() : '';
  return { name: textOf(snapshot['name']) ?? '', at, vmStateSize: sizeOf(snapshot['vm-state-size']) };
}

export function parseImageCheck(path: string, check: Json): DiskCheck {
  const errors = sizeOf(check['corruptions']) + sizeOf(check['check-errors']);
  const leaks = sizeOf(check['leaks']);
  const repairedErrors = sizeOf(check['corruptions-fixed']);
  return {
    path,
    ok: errors === 0 && leaks === 0,
    errors,
    leaks,
    repairedErrors,
    repairedLeaks: sizeOf(check['leaks-fixed']),
    allocatedClusters: sizeOf(check['allocated-clusters']),
    totalClusters: sizeOf(check['total-clusters']),
  };
}
