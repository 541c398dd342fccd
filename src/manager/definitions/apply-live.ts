/** What of a changed definition QEMU can take over while the guest runs. */
import type { Change } from '../../definition/change-key.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { panicActions } from '../../plan/life.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Run } from '../lifecycle/run.ts';

export interface ChangedDefinition {
  readonly before: MachineDefinition;
  readonly after: MachineDefinition;
}

export interface WhenApplied {
  readonly applied: readonly string[];
  readonly atNextStart: readonly string[];
}

/** Keys that only qward itself reads. */
const ownKeys = /^(?:title|description|tags|stop|autostart|onHostShutdown|onPowerOff|restart|hooks)(?:\.|$)/;

/** Applies what can be applied, and says of each key when it holds. `run` is undefined where the machine does not run. */
export async function applyLive(
  run: Run | undefined,
  definitions: ChangedDefinition,
  changes: readonly Change[],
): Promise<WhenApplied> {
  const applied: string[] = [];
  const atNextStart: string[] = [];
  for (const { key } of changes) {
    const now = ownKeys.test(key) || (run !== undefined && (await applyKey(run, definitions, key)));
    (now ? applied : atNextStart).push(key);
    // The rule holds at once for the ends that qward sees; a guest without the device cannot tell of a panic.
    if (key === 'onCrash' && !now && run !== undefined) applied.push('onCrash, for crashes of QEMU');
  }
  return { applied, atNextStart };
}

async function applyKey(run: Run, { before, after }: ChangedDefinition, key: string): Promise<boolean> {
  const disk = /^disks\.([a-z0-9-]+)\.limits(?:\.|$)/.exec(key)?.[1];
  if (disk !== undefined) return await limitDisk(run, after, disk);
  const cable = /^nics\.([a-z0-9-]+)\.link$/.exec(key)?.[1];
  if (cable !== undefined) return await setLink(run, after, cable);
  // QEMU cannot raise the maximum that it was started with; the balloon gives back a part of it.
  if (key === 'memory' && after.memory < before.memory) return await inflateBalloon(run, after.memory);
  const card = /^nics\.([a-z0-9-]+)\.(?:forward|dns)$/.exec(key)?.[1];
  if (card !== undefined) return (await run.networks?.apply(card))?.ok === true;
  if (key === 'onReboot') return await setReboot(run, after);
  if (key === 'onCrash') return await setPanic(run, after);
  return false;
}

async function setReboot({ session }: Run, { onReboot }: MachineDefinition): Promise<boolean> {
  const reboot = onReboot === 'stop' ? 'shutdown' : 'reset';
  return session !== undefined && (await commands.setAction(session, { reboot })).ok;
}

async function setPanic({ session, launched }: Run, { onCrash }: MachineDefinition): Promise<boolean> {
  const told = launched.launch.argv.some((argument) => /"driver":"pvpanic(?:-pci)?"/.test(argument));
  if (!told) return onCrash === 'stop';
  return session !== undefined && (await commands.setAction(session, { panic: panicActions[onCrash] })).ok;
}

async function limitDisk({ session, hotplug }: Run, after: MachineDefinition, id: string): Promise<boolean> {
  const disk = after.disks.find((candidate) => candidate.id === id);
  if (session === undefined || disk === undefined || !isPlain(disk.limits)) return false;
  const limits = { iops: disk.limits?.iops ?? 0, bps: disk.limits?.bps ?? 0 };
  const group = `limits.${id}`;
  // A disk that was started with limits has a throttle node; in others the device itself takes them.
  const hasGroup = hotplug.disk(id)?.groups.includes(group) === true;
  if (hasGroup) return (await commands.setGroupIoLimits(session, { group, ...limits })).ok;
  const device = await findDrive(session, id);
  return device !== undefined && (await commands.setIoLimits(session, { id: device, ...limits })).ok;
}

/** Only `iops` and `bps` are taken over while the guest runs. */
function isPlain(limits: MachineDefinition['disks'][number]['limits']): boolean {
  const { iops: _iops, bps: _bps, burst, burstSeconds, ...others } = limits ?? {};
  return [others, burst ?? {}, burstSeconds ?? {}].every((group) =>
    Object.values(group).every((value) => value === undefined),
  );
}

async function setLink({ session }: Run, after: MachineDefinition, id: string): Promise<boolean> {
  const nic = after.nics.find((candidate) => candidate.id === id);
  if (session === undefined || nic === undefined) return false;
  return (await commands.setLink(session, { id, up: nic.link === 'up' })).ok;
}

/** QEMU's path of the device that has the drive: with virtio it is a part of the device of this id. */
async function findDrive(session: QmpSession, id: string): Promise<string | undefined> {
  const drives = await commands.queryBlock(session);
  const path = `/machine/peripheral/${id}`;
  return drives.ok
    ? drives.value.find(({ device }) => device === id || device === path || device.startsWith(`${path}/`))
        ?.device
    : undefined;
}

async function inflateBalloon({ session }: Run, bytes: number): Promise<boolean> {
  return session !== undefined && (await commands.balloon(session, { bytes })).ok;
}
