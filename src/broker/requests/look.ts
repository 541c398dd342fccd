/** status, probe, inspect: what the broker alone can see, told without judgement. */
import { closeSync } from 'node:fs';
import { HiddenProfiles, labelFor } from '../../jail/apparmor.ts';
import { isAlive } from '../../linux/process.ts';
import { blockDeviceSize } from '../../linux/block-device.ts';
import { readHead } from '../../linux/descriptors.ts';
import { readProcessFacts } from '../../linux/process-facts.ts';
import {
  headSizes,
  type BrokerRequest,
  type BrokerStatus,
  type FileProbe,
  type ProcessFacts,
} from '../../protocol/broker.ts';
import { version } from '../../protocol/version.ts';
import { ownBoundingSet } from '../capabilities.ts';
import { refuse, storageRoots, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { networkStates } from '../network-server.ts';
import { networksOf } from '../../protocol/networks.ts';
import { groundsOf, openGranted } from '../open-file.ts';
import { recordVersion, type DamagedRecord } from '../records.ts';
import { overlaps } from '../slots.ts';
import type { UnusableState } from '../state.ts';
import { describe } from './launch.ts';

/** Of more files only the least is read, so that an answer stays small. */
const fewFiles = 16;

export async function handleStatus(context: BrokerContext): Promise<HandlerOutcome> {
  const policy = context.readPolicy();
  const runtime = await context
    .runtime()
    .catch((error: unknown) => (error instanceof Error ? error.message : 'failed'));
  const status: BrokerStatus = {
    version,
    pid: process.pid,
    runtime: typeof runtime === 'string' ? null : runtime.name,
    runtimesRefused:
      typeof runtime === 'string' ? [{ runtime: 'crun, runc', reason: runtime }] : runtime.refused,
    cgroups: context.cgroups.layout,
    scopes: context.scopes,
    ...labelFacts(),
    policyFaults: policy.ok ? [] : policy.refusals,
    uidRange: policy.ok ? policy.policy.uidRange : null,
    uidRangeOverlaps: policy.ok ? overlaps(policy.policy.uidRange) : [],
    storageRoots: policy.ok ? storageRoots(policy.policy, context) : [],
    bridges: policy.ok ? policy.policy.bridges.map(({ bridge }) => bridge) : [],
    qemuBinaries: policy.ok ? policy.policy.qemuBinaries : [],
    machines: context.records.list().map(describe),
    slots: context.slots.list(),
    autostart: context.autostart.list(),
    networks: networkStates(context),
    damaged: damagedFiles(context),
    boundingSet: ownBoundingSet(),
  };
  return { ok: true, result: status };
}

function labelFacts(): Pick<BrokerStatus, 'label' | 'labelFault'> {
  try {
    const label = labelFor('qemu');
    return label === undefined ? {} : { label };
  } catch (error) {
    if (!(error instanceof HiddenProfiles)) throw error;
    return { labelFault: { reason: error.message, cure: error.cure } };
  }
}

function damagedFiles(context: BrokerContext): BrokerStatus['damaged'] {
  const { records, slots, claims, autostart, networks } = context;
  const told = (fault: UnusableState | undefined, meaning: string): BrokerStatus['damaged'] =>
    fault === undefined ? [] : [{ ...fault.damage, reason: `${fault.damage.reason}; ${meaning}` }];
  const ofSlots = slots.fault();
  const meaning = ofSlots?.newer === true ? 'no machine is started' : 'machines get new ones as they start';
  return [
    ...records.damaged().map((record) => damagedRecord(context, record)),
    ...told(ofSlots, `which machine has which uid is not known, and ${meaning}`),
    ...told(claims.fault(), 'nothing is opened with the rights of users, nor claimed'),
    ...told(autostart.fault(), 'nothing is started with the host'),
    ...told(networks.fault(), 'there is no managed network'),
  ];
}

function damagedRecord(
  context: BrokerContext,
  { path, machine, reason, known }: DamagedRecord,
): BrokerStatus['damaged'][number] {
  const lives = context.means.runs(machine);
  const what = `the record of machine "${machine}" ${reason}`;
  const cure = `\`qward kill ${machine}\` clears it away`;
  if (known) return { path, reason: `${what}; it is not audited, and can be stopped`, cure };
  return {
    path,
    reason: `${what}; ${lives ? 'it runs, and only a kill reaches it' : 'it does not run'}`,
    cure,
    ...(lives ? { unreached: machine } : {}),
  };
}

export function handleProbe(
  context: BrokerContext,
  { machine, paths, head }: Extract<BrokerRequest, { call: 'probe' }>,
): HandlerOutcome {
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const grounds = groundsOf(context, machine, policy.policy);
  const files = paths.map((file): FileProbe => {
    const { path } = file;
    const opened = openGranted(file, grounds, context.means);
    if (!opened.ok) return { path, ok: false, refusal: opened.refusal };
    try {
      const { size, dev, ino, mode, mtimeMs } = opened.stats;
      const device = opened.stats.isBlockDevice();
      return {
        path,
        ok: true,
        size: device ? blockDeviceSize(opened.fd) : size,
        ...(device ? { blockDevice: true } : {}),
        device: dev,
        inode: ino,
        modifiedMs: mtimeMs,
        head: readHead(opened.fd, paths.length > fewFiles ? headSizes[0] : head).toString('base64'),
        worldReadable: (mode & 0o004) !== 0,
      };
    } finally {
      closeSync(opened.fd);
    }
  });
  return { ok: true, result: files };
}

export function handleInspect(context: BrokerContext, machine: string): HandlerOutcome {
  const record = context.records.read(machine);
  if (record === undefined || !isAlive(record.pid, record.startTime)) {
    return refuse('machine-not-running', `machine "${machine}" does not run`, 'start it first');
  }
  // SECURITY: promise 5. What a newer qward launched is not held against what this one understands of it.
  if (record.version !== recordVersion)
    return refuse(
      'wall-missing',
      `the record of machine "${machine}" is of version ${record.version}, and this qward knows version ${recordVersion}`,
      'audit it with the qward that started it',
    );
  const found = inspect(record.pid);
  if (!found.ok) return found;
  const networks = [...new Set(networksOf(record))].flatMap((name) => {
    const network = context.networks.find(name);
    return network === undefined ? [] : [{ ...network, tables: context.means.listNetwork(network) }];
  });
  const hostFilter =
    record.launch.program === 'passt' ? { hostFilter: context.means.listFilter(record.uid) } : {};
  return { ok: true, result: { ...found.result, ...hostFilter, networks } };
}

/** Any QEMU of the host, for the audit of processes that are not ours. */
export function handleInspectPid(pid: number): HandlerOutcome {
  const outcome = inspect(pid, true);
  if (!outcome.ok || qemuBinary.test(outcome.result.exe)) return outcome;
  // SECURITY: promise 1. A taken-over manager learns nothing about other programs.
  return refuse(
    'broker-refused',
    `process ${pid} is not a QEMU but ${outcome.result.exe}`,
    'name the pid of a QEMU process',
  );
}

const qemuBinary = /\/(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm)$/;

function inspect(
  pid: number,
  sharers = false,
): { ok: true; result: ProcessFacts } | ReturnType<typeof refuse> {
  const outcome = readProcessFacts(pid, { sharers });
  return outcome.ok
    ? { ok: true, result: outcome.facts }
    : refuse('machine-not-running', `process ${pid}: ${outcome.reason}`, 'check the pid');
}
