/** status, probe, inspect: what the broker alone can see, told without judgement. */
import { closeSync } from 'node:fs';
import { isAlive } from '../../linux/process.ts';
import { blockDeviceSize } from '../../linux/block-device.ts';
import { readHead } from '../../linux/descriptors.ts';
import { readProcessFacts } from '../../linux/process-facts.ts';
import type { BrokerStatus, FileProbe, FileRequest, ProcessFacts } from '../../protocol/broker.ts';
import { version } from '../../protocol/version.ts';
import { DamagedAutostart } from '../autostart.ts';
import { refuse, storageRoots, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { groundsOf, openGranted } from '../open-file.ts';
import { overlaps } from '../slots.ts';
import { runs } from '../sweep.ts';
import { describe } from './launch.ts';

/** Enough for the headers of the image formats and the descriptor of a VMDK. */
const headBytes = 1024;
/** The descriptor in a VMDK too; for a few files only, so that an answer stays small. */
const [wholeHeadBytes, fewFiles] = [12 * 1024, 16];

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
    policyFaults: policy.ok ? [] : policy.refusals,
    uidRange: policy.ok ? policy.policy.uidRange : null,
    uidRangeOverlaps: policy.ok ? overlaps(policy.policy.uidRange) : [],
    storageRoots: policy.ok ? storageRoots(policy.policy, context) : [],
    bridges: policy.ok ? policy.policy.bridges : [],
    qemuBinaries: policy.ok ? policy.policy.qemuBinaries : [],
    machines: context.records.list().map(describe),
    slots: context.slots.list(),
    autostart: context.autostart.list(),
    damaged: damagedFiles(context),
  };
  return { ok: true, result: status };
}

function damagedFiles(context: BrokerContext): BrokerStatus['damaged'] {
  const records = context.records.damaged().map(({ path, machine }) => ({
    path,
    reason: `the record of machine "${machine}" cannot be read; ${runs(context, machine) ? 'it runs, and only a kill reaches it' : 'it does not run'}`,
    cure: `\`qward kill ${machine}\` clears it away`,
  }));
  const path = `${context.paths.brokerState}/slots.json`;
  const reason = 'which machine has which uid cannot be read; machines get new ones as they start';
  return [
    ...records,
    ...(context.slots.damaged() ? [{ path, reason, cure: `rm ${path}` }] : []),
    ...context.claims.damaged(),
    ...(context.autostart.damaged() ? [damagedAutostart(`${context.paths.brokerState}/autostart.json`)] : []),
  ];
}

function damagedAutostart(path: string): BrokerStatus['damaged'][number] {
  const reason = 'what is started with the host cannot be read; nothing is';
  return { path, reason, cure: new DamagedAutostart(path).cure };
}

export function handleProbe(
  context: BrokerContext,
  machine: string,
  paths: readonly FileRequest[],
): HandlerOutcome {
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const grounds = groundsOf(context, machine, policy.policy);
  const files = paths.map((file): FileProbe => {
    const { path } = file;
    const opened = openGranted(file, grounds);
    if (!opened.ok) return { path, ok: false, refusal: opened.refusal };
    try {
      const { size, dev, ino, mode } = opened.stats;
      const device = opened.stats.isBlockDevice();
      return {
        path,
        ok: true,
        size: device ? blockDeviceSize(opened.fd) : size,
        ...(device ? { blockDevice: true } : {}),
        device: dev,
        inode: ino,
        head: readHead(opened.fd, paths.length > fewFiles ? headBytes : wholeHeadBytes).toString('base64'),
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
  return inspect(record.pid);
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
