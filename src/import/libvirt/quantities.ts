/** Quantities as libvirt writes them. */
import { attributeOf, type XmlElement } from '../xml/xml-node.ts';

const units: Readonly<Record<string, number>> = {
  b: 1,
  byte: 1,
  bytes: 1,
  k: 1024,
  kib: 1024,
  kb: 1000,
  m: 1024 ** 2,
  mib: 1024 ** 2,
  mb: 1000 ** 2,
  g: 1024 ** 3,
  gib: 1024 ** 3,
  gb: 1000 ** 3,
  t: 1024 ** 4,
  tib: 1024 ** 4,
  tb: 1000 ** 4,
};

/** Bytes; undefined where it is no size. Without a unit it is KiB, as nearly everywhere in libvirt. */
export function bytesOf(text: string, unit = 'KiB'): number | undefined {
  const factor = units[unit.toLowerCase()];
  if (!/^\d{1,15}$/.test(text) || factor === undefined) return undefined;
  const bytes = Number(text) * factor;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A whole number as libvirt reads it: decimal, octal with a leading 0, or hexadecimal. */
export function wholeNumberOf(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,12}$/i.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]{1,15}$/.test(text)) return Number.parseInt(text, 8);
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export const isOn = (text: string): boolean => text === 'yes' || text === 'on';

const mib = 1024 ** 2;

/** Whole MiB as `512MiB` or `2GiB`; rounded up, as libvirt does for QEMU. */
export function memoryText(bytes: number): string {
  const whole = Math.ceil(bytes / mib);
  return whole % 1024 === 0 && whole > 0 ? `${whole / 1024}GiB` : `${whole}MiB`;
}

/** CPUs of `0-3,^2,8` as `0-1,3,8`; undefined where it is no such list. */
export function cpuListOf(text: string): string | undefined {
  const cpus = new Set<number>();
  for (const word of text.replaceAll(/\s/g, '').split(',')) {
    const match = /^(\^?)(\d{1,5})(?:-(\d{1,5}))?$/.exec(word);
    if (match === null) return undefined;
    const [from, to] = [Number(match[2]), Number(match[3] ?? match[2])];
    if (to < from || to > 4096) return undefined;
    for (let cpu = from; cpu <= to; cpu += 1)
      if (match[1] === '^') cpus.delete(cpu);
      else cpus.add(cpu);
  }
  const sorted = [...cpus].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const cpu of sorted) {
    const last = ranges.at(-1);
    if (last?.[1] === cpu - 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',') || undefined;
}

/** NUMA nodes of the host of `<memory>` or `<memnode>`. */
export function hostNodes(element: XmlElement | undefined): { nodes: string; policy: string } | undefined {
  const nodes = cpuListOf(attributeOf(element, 'nodeset') ?? '');
  const mode = attributeOf(element, 'mode') ?? 'strict';
  if (nodes === undefined) return undefined;
  return { nodes, policy: mode === 'preferred' || mode === 'interleave' ? mode : 'bind' };
}
