/** Places of virtual CPUs, as QEMU tells of them (query-hotpluggable-cpus). */
import { memberOf, parseCount, parseFields, parseList, parseText, type Fields } from './shape.ts';

export interface CpuPlace {
  readonly taken: boolean;
  /** What a CPU in it is made of, but for its id. */
  readonly device: Fields;
}

/** Kinds of places in the order of their weight; `node-id` is another name of one. */
const kinds = ['socket-id', 'die-id', 'cluster-id', 'module-id', 'core-id', 'thread-id'] as const;
/** As many as a machine can have. */
const most = 255;

/** In the order in which the guest counts them. */
export function parseCpuPlaces(value: unknown): readonly CpuPlace[] | undefined {
  if (Array.isArray(value) && value.length > most) return undefined;
  return parseList(value, parsePlace)?.toSorted(byPlace);
}

function parsePlace(value: unknown): CpuPlace | undefined {
  const fields = parseFields(value);
  const driver = parseText(memberOf(fields, 'type'), 64);
  const props = parseFields(memberOf(fields, 'props'));
  if (driver === undefined || !/^[A-Za-z0-9_.-]+-x86_64-cpu$/.test(driver) || props === undefined)
    return undefined;
  const known: readonly string[] = [...kinds, 'node-id'];
  const place = Object.entries(props).map(([kind, at]) => [kind, parseCount(at)] as const);
  if (place.length === 0 || place.some(([kind, at]) => !known.includes(kind) || at === undefined))
    return undefined;
  return {
    taken: memberOf(fields, 'qom-path') !== undefined,
    device: { driver, ...Object.fromEntries(place) },
  };
}

function byPlace(left: CpuPlace, right: CpuPlace): number {
  const different = kinds.find((kind) => left.device[kind] !== right.device[kind]);
  return different === undefined
    ? 0
    : Number(left.device[different] ?? 0) - Number(right.device[different] ?? 0);
}
