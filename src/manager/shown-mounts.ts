/** Whether what the host mounts later beneath a directory that machines are shown reaches them (mount_namespaces(7)). */
import { readFileSync } from 'node:fs';
import type { MachineDefinition } from '../definition/schema.ts';

export interface UnsharedMount {
  readonly path: string;
  readonly point: string;
}

/** The files and directories that lie on mounts of which nothing spreads, each with that mount. */
export function unsharedMounts(
  definitions: readonly MachineDefinition[],
  mountinfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
): readonly UnsharedMount[] {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [left = ''] = line.split(' - ');
    const point = left.split(' ')[4];
    // In a service's own namespace a mount of the host that spreads is a slave of it.
    return point === undefined
      ? []
      : [{ point: unescaped(point), spreads: / (?:shared|master):\d+/.test(left) }];
  });
  const paths = new Set(definitions.flatMap(({ confinement }) => confinement.files.map(({ path }) => path)));
  return [...paths].flatMap((path) => {
    const around = mounts.filter(
      ({ point }) => point === '/' || path === point || path.startsWith(`${point}/`),
    );
    const [inner] = around.toSorted((left, right) => right.point.length - left.point.length);
    return inner === undefined || inner.spreads ? [] : [{ path, point: inner.point }];
  });
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
