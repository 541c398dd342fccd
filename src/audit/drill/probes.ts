/** Every probe of the drill, in the order in which they are tried. */
import type { Probe } from './probe.ts';
import { descriptorProbes, fileProbes } from './probes-of-files.ts';
import { limitProbes } from './probes-of-limits.ts';
import { rightProbes } from './probes-of-rights.ts';
import { socketProbes } from './probes-of-sockets.ts';
import { kernelProbes } from './probes-of-the-kernel.ts';

export const probes: readonly Probe[] = [
  ...fileProbes,
  ...descriptorProbes,
  ...socketProbes,
  ...kernelProbes,
  ...rightProbes,
  ...limitProbes,
];
