/** Clearing away all that was made for a machine, in whatever state it is. Safe to repeat; the record goes last. */
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupExists, killCgroup, processesIn, removeCgroup } from '../jail/cgroups.ts';
import { killVerified } from '../linux/pidfd.ts';
import { processesOfUids } from '../linux/process.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { helperJobPattern } from '../protocol/side-servers.ts';
import { networksOf, serverName } from '../protocol/networks.ts';
import type { BrokerContext } from './context.ts';
import { returnDevices } from './pci-devices.ts';
import { placesOf } from './places.ts';
import type { LaunchRecord } from './records.ts';

const deadlineMs = 10_000;
const scopeGraceMs = 2_000;
/** The kernel offers no event for an empty cgroup on v1; a QEMU that was killed is gone in some 10 ms. */
const pollMs = 1;

/** Kills what still runs and removes all of it; false where a process did not end in time, and then nothing is forgotten. `again`: it is launched again. */
export async function sweep(
  context: BrokerContext,
  machine: string,
  again = false,
  under: readonly string[] = [],
): Promise<boolean> {
  const record = context.records.read(machine);
  if (!(await context.means.end(machine, record))) return false;
  for (const helper of context.records.helpers())
    // A folder's server is there before its machine is.
    if (helpedBy(helper.launch).includes(machine) && !(again && helper.launch.program === 'virtiofsd'))
      // SECURITY: promise 1. Records that name one another, whoever wrote them, come to an end.
      if (![machine, ...under].includes(helper.machine))
        if (!(await sweep(context, helper.machine, false, [machine, ...under]))) return false;
  if (!(await returnDevices(record?.pci ?? {}))) return false;
  removeFiles(context, machine);
  if (record !== undefined && helperJobPattern.test(machine) && !again) forgetHelper(context, record.launch);
  if (record !== undefined) await releaseNetworks(context, networksOf(record));
  return true;
}

/** Takes down those of the networks in which nobody has a card any more, each with its server. */
export async function releaseNetworks(context: BrokerContext, names: readonly string[]): Promise<void> {
  const used = new Set(context.records.list().flatMap(networksOf));
  const idle = context.means.networksUp().filter((name) => names.includes(name) && !used.has(name));
  // All of them at once: who has a card in one from now on brings it up anew.
  for (const name of idle) context.means.takeDown(name);
  for (const network of idle) {
    const server = serverName(network);
    // SECURITY: promise 2. Whoever begins or ends a server meanwhile has its uid, which nobody else is to get; a new network has a new one.
    if (context.busy.has(server) || context.means.networksUp().includes(network)) continue;
    context.busy.add(server);
    try {
      await sweep(context, server);
      context.slots.release(server);
    } finally {
      context.busy.delete(server);
    }
  }
}

/** The machines whose network cards a launch serves: it ends with them. */
export const helpedBy = ({ descriptors }: LaunchRequest): string[] =>
  descriptors.flatMap((descriptor) => (descriptor.kind === 'netdev' ? [descriptor.machine] : []));

/** A helper's name is used once; the filter goes with the last of them. */
function forgetHelper(context: BrokerContext, { machine, program }: LaunchRequest): void {
  context.slots.release(machine);
  if (program === 'passt' && !context.records.helpers().some(({ launch }) => launch.program === program))
    context.means.openHost();
}

/** As root: the processes of its cgroups. False where one did not end in time. */
export async function endRecorded(
  context: BrokerContext,
  machine: string,
  record: LaunchRecord | undefined,
): Promise<boolean> {
  for (const cgroup of record === undefined ? cgroupsOf(context, machine) : [record.cgroup])
    if (!(await endProcesses(context, cgroup))) return false;
  // SECURITY: promise 2. Nothing of this uid outlives its machine, wherever it has gone.
  // An account that a relaxation names has processes of its own.
  if (record?.phase === 'launching' && context.slots.list().some(({ uid }) => uid === record.uid))
    killUid(record.uid);
  return true;
}

/** Whether a process is in a cgroup of the machine's. */
export function runs(context: BrokerContext, machine: string): boolean {
  return cgroupsOf(context, machine).some((cgroup) => processesIn(context.cgroups, cgroup).length > 0);
}

/** SECURITY: promise 2. Where it may have been launched: with systemd and without, since a host changes between them as machines run. */
function cgroupsOf(context: BrokerContext, machine: string): string[] {
  return [true, false].map((scopes) => placesOf({ ...context, scopes }, machine).cgroup);
}

/** Kills and removes one cgroup; false where a process did not end in time. */
export async function endProcesses(
  { cgroups, scopes }: Pick<BrokerContext, 'cgroups' | 'scopes'>,
  cgroup: string,
): Promise<boolean> {
  const began = performance.now();
  for (;;) {
    killCgroup(cgroups, cgroup);
    const waited = performance.now() - began;
    // systemd removes the cgroup of a scope, and only then its name is free again.
    const ours = !scopes || waited > scopeGraceMs;
    const ended = processesIn(cgroups, cgroup).length === 0;
    if (ended && (ours ? removeCgroup(cgroups, cgroup) : !cgroupExists(cgroups, cgroup))) return true;
    if (waited > deadlineMs) return false;
    await delay(pollMs);
  }
}

function killUid(uid: number): void {
  for (const pid of processesOfUids(uid, 1)) killVerified(pid, () => processesOfUids(uid, 1).includes(pid));
}

/** All of these directories are writable by root alone, so that no link can lead elsewhere. */
function removeFiles(context: BrokerContext, machine: string): void {
  const places = placesOf(context, machine);
  context.means.removeDirectory(places);
  // Whatever stands there when no file system is mounted: a start that was cut off, or somebody's own doing.
  rmSync(places.directory, { recursive: true, force: true });
  rmSync(places.bundle, { recursive: true, force: true });
  rmSync(places.runtimeState, { recursive: true, force: true });
  context.records.remove(machine);
}
