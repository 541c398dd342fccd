/** The probes outside of the jail: what each control does, and in what kind of process. Pure. */
import { call, here } from './calls.ts';
import type { Probe, Surroundings } from './probe.ts';
import { text, type Step } from './script.ts';

const newNamespaces = 0x1000_0000 | 0x2_0000 | 0x4000_0000;
const writeOnly = 1;

export function controlSteps(probe: Probe, place: Surroundings): readonly Step[] {
  return (probe.controlSteps ?? probe.steps)(place);
}

/** Root in namespaces of its own: user, mount and network. `uid` is the caller's. */
export function enterNamespaces(uid: number): readonly Step[] {
  const map = `0 ${uid} 1`;
  return [
    call('unshare', newNamespaces),
    call('openat', here, text('/proc/self/uid_map'), writeOnly),
    call('write', { resultOf: 1 }, text(map), map.length),
  ];
}
