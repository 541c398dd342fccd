/** launch: admits the request, opens what it names, makes the jail, and tells where the machine is. */
import { closeSync, mkdirSync, openSync, realpathSync, statSync } from 'node:fs';
import { beginnersOf, type JailSite } from '../../jail/bundle.ts';
import { runDetached } from '../../jail/runtime.ts';
import { deviceNumbers } from '../../linux/block-device.ts';
import { isAlive, startTimeOf } from '../../linux/process.ts';
import { admit } from '../../policy/admit.ts';
import { admitShown } from '../../policy/shown-rules.ts';
import type { Policy } from '../../policy/policy.ts';
import type { LaunchedMachine, Refusal } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { servedNetwork } from '../../protocol/networks.ts';
import { refuseLacking } from '../capabilities.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { errorCode, unlessMissing } from '../../linux/errno.ts';
import { writeWhole } from '../files.ts';
import { refuseHook, withShell } from '../hook.ts';
import { withServer } from '../network-server.ts';
import type { Means } from '../means.ts';
import { lookAtDevices, nodesOfDevices, showDevices, takeDevices } from '../pci-devices.ts';
import { openDescriptors, socketPaths, type Opened } from '../open-descriptors.ts';
import { groundsOf } from '../open-file.ts';
import { placesOf, runtimeRoot, type MachinePlaces } from '../places.ts';
import type { LaunchRecord } from '../records.ts';
import { NoRuntime } from '../runtime-choice.ts';
import { identityFor, type Identity } from '../relaxed-identity.ts';
import { helpedBy, sweep } from '../sweep.ts';
import { running, stuck } from './lifecycle.ts';

const runtimeDeadlineMs = 30_000;

export async function handleLaunch(context: BrokerContext, launch: LaunchRequest): Promise<HandlerOutcome> {
  const before = context.records.read(launch.machine);
  if (before !== undefined && isAlive(before.pid, before.startTime)) return running(before);
  if (before === undefined && context.means.runs(launch.machine)) {
    return refuse(
      'machine-running',
      `machine "${launch.machine}" runs already, and its record on /run was lost`,
      `end it: \`qward kill ${launch.machine}\``,
    );
  }
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const refusals = [
    ...admit(launch, groundsOf(context, servedBy(launch), policy.policy)),
    ...admitProgram(launch),
    ...admitJoined(context, launch, policy.policy),
    ...refuseHook(launch),
    ...refuseLacking(launch, context.scopes),
  ];
  if (refusals.length > 0) return { ok: false, refusals };
  let ids: ReturnType<Means['takeIds']>;
  try {
    ids = context.means.takeIds(launch.machine, policy.policy);
  } catch (error) {
    return outOfResources(error, launch.machine, context.paths.brokerState);
  }
  if (!('uid' in ids)) return ids;
  if (!(await sweep(context, launch.machine, true))) return stuck(launch.machine, 'machine-busy');
  try {
    const identity = identityFor(launch, ids, policy.policy);
    const told = withServer(context, withShell(launch));
    const outcome = !identity.ok
      ? identity
      : told.ok
        ? await launchSwept(context, told.launch, { identity, policy: policy.policy })
        : told;
    if (!outcome.ok) await sweep(context, launch.machine);
    return outcome;
  } catch (error) {
    await sweep(context, launch.machine);
    return outOfResources(error, launch.machine, context.paths.brokerRun);
  }
}

/** The machine whose claims count: of a shared folder, that which it is shared with. */
const servedBy = (launch: LaunchRequest): string =>
  (launch.program === 'virtiofsd' ? helpedBy(launch)[0] : undefined) ?? launch.machine;

/** SECURITY: promise 4. A folder is for the machine for which it was claimed, and no other is joined to its server. */
function admitJoined(context: BrokerContext, launch: LaunchRequest, policy: Policy): readonly Refusal[] {
  if (!['qemu', 'drill'].includes(launch.program)) return [];
  return helpedBy(launch).flatMap((server) => {
    const found = context.records.read(server)?.launch;
    // What was agreed to when the server began may have been taken back.
    if (found?.program === 'virtiofsd' && helpedBy(found).includes(launch.machine))
      return admitShown(found, groundsOf(context, launch.machine, policy));
    return refuse('policy-refused', `"${server}" serves no folder to "${launch.machine}"`, 'start it again')
      .refusals;
  });
}

/** SECURITY: promise 1. What the jail shows at the program's path is the very file that the policy lists, no other of /usr. */
function admitProgram({ program, binary, root }: LaunchRequest): readonly Refusal[] {
  if (program === 'drill' || program === 'hook') return [];
  const beginners = (beginnersOf[program] ?? []).filter((word) => word.startsWith('/'));
  return [binary, ...beginners].flatMap((path) => {
    const shown = root.find(({ target }) => target === path)?.source;
    if (shown !== undefined && shown === realPath(path)) return [];
    return refuse(
      'policy-refused',
      `the jail would show ${shown === undefined ? 'nothing' : `"${shown}"`} as "${path}"`,
      'name the file itself, by its real path',
    ).refusals;
  });
}

const realPath = (path: string): string | undefined =>
  unlessMissing(() => realpathSync(path), ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG']);

function outOfResources(error: unknown, machine: string, place: string): HandlerOutcome {
  if (error instanceof NoRuntime)
    return refuse('runtime-failed', `no jail can be made: ${error.message}`, 'run `qward doctor`');
  const code = errorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return noSpace(machine, place);
  if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM' || code === 'EAGAIN') {
    return refuse(
      'resources-short',
      `the host has not enough of something to start "${machine}": ${code}`,
      'stop other machines or programs',
    );
  }
  throw error;
}

function noSpace(machine: string, place: string): HandlerOutcome {
  return refuse(
    'resources-short',
    `no space to start "${machine}": ${place} could not be written`,
    `make room on its file system (df -h ${place})`,
  );
}

/** Nothing of the machine is on the host now; from the first line on, everything made is found by the record, for the sweep. */
async function launchSwept(
  context: BrokerContext,
  launch: LaunchRequest,
  { identity: { ids, label }, policy }: { readonly identity: Identity; readonly policy: Policy },
): Promise<HandlerOutcome> {
  const places = placesOf(context, launch.machine);
  const runtime = await context.runtime();
  const pci = lookAtDevices(launch, context.records.list);
  if (!pci.ok) return pci;
  const own = nodesOf(launch.devices);
  if (!own.ok) return own;
  const cards = launch.descriptors.filter((descriptor) => descriptor.kind === 'card');
  // A register that cannot be used holds up nobody without a card.
  if (cards.length > 0) context.networks.keep(launch.machine, cards);
  const record: LaunchRecord = {
    version: 1,
    machine: launch.machine,
    phase: 'launching',
    ...ids,
    cgroup: places.cgroup,
    runtime: runtime.name,
    ...(label === undefined ? {} : { label }),
    pid: 0,
    startTime: 0,
    sockets: socketPaths(launch, places.directory),
    log: places.log,
    launchedAt: new Date().toISOString(),
    files: {},
    pci: pci.devices,
    launch,
  };
  context.records.write(record);
  mkdirSync(places.bundle, { recursive: true, mode: 0o700 });
  const { means } = context;
  const grounds = groundsOf(context, servedBy(launch), policy);
  const kept = await takeDevices(pci.devices);
  if (kept !== undefined) return kept;
  // They are there only now.
  const groups = nodesOf(nodesOfDevices(pci.devices));
  if (!groups.ok) return groups;
  const deviceNumbers = { ...own.numbers, ...groups.numbers };
  const shown = await means.openShown(launch, grounds, ids.uid);
  if (!shown.ok) return shown;
  const mounts = [...shown.mounts, ...(await showDevices(pci.devices, ids.uid))];
  const root = means.openRoot(launch, mounts);
  for (const { mount } of mounts) closeSync(mount);
  if (!root.ok) return root;
  try {
    const open = launch.program === 'passt' ? means.closeHost(policy.uidRange) : [];
    if (open.length > 0) return { ok: false, refusals: open };
    means.makeDirectory(places);
    const directory = places.directory;
    const opened = await openDescriptors(launch.descriptors, {
      directory,
      grounds,
      ids,
      means,
      records: context.records.list,
      waits: launch.program === 'virtiofsd',
    });
    if (!opened.ok) return opened;
    try {
      const site = {
        ...ids,
        rootDirectory: root.directory,
        cgroup: places.cgroupsPath,
        cgroups: context.cgroups.layout,
        runtime: runtime.name,
        label,
        deviceNumbers,
      };
      writeWhole(
        `${places.bundle}/config.json`,
        JSON.stringify(means.compile({ ...launch, devices: Object.keys(deviceNumbers) }, site, root)),
        false,
      );
      const numbered = { ...record, deviceNumbers };
      return await run(context, { places, record: numbered, opened, binary: runtime.binary });
    } finally {
      for (const fd of opened.fds) closeSync(fd);
    }
  } finally {
    means.leaveRoot(root, mounts);
  }
}

/** What the nodes of the host are; a link in /dev is root's own. */
function nodesOf(
  devices: readonly string[],
):
  | { readonly ok: true; readonly numbers: JailSite['deviceNumbers'] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] } {
  const found = devices.map((path) => [path, statSync(path, { throwIfNoEntry: false })] as const);
  const absent = found.find(
    ([, stats]) => stats?.isCharacterDevice() !== true && stats?.isBlockDevice() !== true,
  );
  if (absent !== undefined)
    return refuse(
      'file-missing',
      `"${absent[0]}" is no device of this host`,
      'load its driver, or take it out of the definition',
    );
  const numbers = found.flatMap(([path, stats]) =>
    stats === undefined
      ? []
      : [[path, { type: stats.isBlockDevice() ? 'b' : 'c', ...deviceNumbers(stats.rdev) }] as const],
  );
  return { ok: true, numbers: Object.fromEntries(numbers) };
}

interface Run {
  readonly places: MachinePlaces;
  readonly record: LaunchRecord;
  readonly opened: Opened;
  readonly binary: string;
}

async function run(context: BrokerContext, { places, record, opened, binary }: Run): Promise<HandlerOutcome> {
  const [input, log] = [openSync('/dev/null', 'r'), openSync(places.log, 'a', 0o640)];
  try {
    const outcome = await runDetached({
      binary,
      stateRoot: runtimeRoot(context),
      bundle: places.bundle,
      id: record.machine,
      scope: context.scopes,
      descriptors: [input, log, log, ...opened.fds],
      deadlineMs: runtimeDeadlineMs,
      environment: context.means.environment,
    });
    if (!outcome.ok) {
      if (/no space left on device/i.test(outcome.message))
        return noSpace(record.machine, context.paths.brokerRun);
      return refuse('runtime-failed', `"${record.machine}": ${outcome.message}`, 'run `qward doctor`');
    }
    context.means.keepLog(log, record.uid);
    const launched: LaunchRecord = {
      ...record,
      phase: 'running',
      files: opened.files,
      pid: outcome.pid,
      startTime: startTimeOf(outcome.pid) ?? 0,
    };
    context.records.write(launched);
    const served = servedNetwork(record.machine);
    const network = served === undefined ? undefined : context.networks.find(served);
    const apart = network === undefined ? [] : await context.means.joinServer(network, launched);
    return apart.length === 0 ? { ok: true, result: describe(launched) } : { ok: false, refusals: apart };
  } finally {
    for (const fd of [input, log]) closeSync(fd);
  }
}

/** A record as the manager sees it. */
export function describe(record: LaunchRecord): LaunchedMachine {
  const { version: _version, phase: _phase, pci: _pci, ...rest } = record;
  return {
    ...rest,
    gid: record.gid ?? record.uid,
    alive: record.pid !== 0 && isAlive(record.pid, record.startTime),
  };
}
