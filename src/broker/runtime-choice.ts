/** Which OCI runtime works on this host: found by running a small program in a jail like a machine's, once per boot. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { labelFor } from '../jail/apparmor.ts';
import { runDetached, runtimeNames, type RuntimeName } from '../jail/runtime.ts';
import { startTimeOf } from '../linux/process.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { isObject } from '../protocol/values.ts';
import type { BrokerContext } from './context.ts';
import { readJson, writeWhole } from './files.ts';
import { placesOf } from './places.ts';

export interface ChosenRuntime {
  readonly name: RuntimeName;
  readonly binary: string;
  readonly refused: readonly { readonly runtime: string; readonly reason: string }[];
}

const directories = ['/usr/bin', '/usr/sbin', '/usr/local/bin'];
const trialDeadlineMs = 10_000;
/** The trial's name is no machine name, so that it can never meet one. */
const trialId = 'Trial';
const trialProgram = '/usr/bin/cat';

/** cat with the libraries where they are: all of /usr/lib, since a trial shows nothing to a guest. It prints its own walls. */
function trialLaunch(): LaunchRequest {
  const root = [trialProgram, '/usr/lib', '/usr/lib64']
    .filter((path) => existsSync(path))
    .map((path) => ({ source: path, target: path }));
  const limits = {
    memory: 64 * 1024 * 1024,
    pids: 16,
    cpuWeight: 100,
    cpuQuota: null,
    ioWeight: 100,
    openFiles: 64,
    fileSize: 1 << 20,
  };
  return {
    machine: trialId,
    program: 'qemu',
    binary: trialProgram,
    argv: ['/proc/self/status'],
    env: {},
    descriptors: [],
    devices: [],
    root,
    limits,
  };
}

/** None works: its message is each one's reason. */
export class NoRuntime extends Error {}

/** Undefined-free: throws NoRuntime where no runtime works, with each one's reason. */
export async function chooseRuntime(context: BrokerContext): Promise<ChosenRuntime> {
  const file = `${context.paths.brokerRun}/runtime.json`;
  const installed = runtimeNames.flatMap((name) => {
    const binary = directories.map((directory) => `${directory}/${name}`).find((path) => existsSync(path));
    return binary === undefined ? [] : [{ name, binary, stamp: statSync(binary).mtimeMs }];
  });
  const key = JSON.stringify([installed, context.cgroups, context.scopes, labelFor('qemu')]);
  const known = readJson(file);
  if (isVerdict(known) && known.key === key) return known.chosen;
  const refused: { runtime: string; reason: string }[] = [];
  for (const { name, binary } of installed) {
    const reason = await tryRuntime(binary, context);
    if (reason === undefined) {
      const chosen = { name, binary, refused };
      writeWhole(file, JSON.stringify({ version: 1, key, chosen }), false);
      return chosen;
    }
    refused.push({ runtime: name, reason });
  }
  throw new NoRuntime(
    refused.map(({ runtime, reason }) => `${runtime}: ${reason}`).join('; ') ||
      'neither crun nor runc is installed',
  );
}

/** The file is root's own; a shape that is not this one was cut short, or is of another version: it is found out anew. */
function isVerdict(value: unknown): value is { key: string; chosen: ChosenRuntime } {
  return isObject(value) && value['version'] === 1 && 'key' in value && 'chosen' in value;
}

/** Undefined where it works, else why not. */
async function tryRuntime(binary: string, context: BrokerContext): Promise<string | undefined> {
  const { bundle, cgroupsPath } = placesOf(context, trialId);
  const stateRoot = `${context.paths.brokerRun}/trial`;
  const launch = trialLaunch();
  const { means } = context;
  const ids = means.trialIds();
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  const [input, output] = [openSync('/dev/null', 'r'), openSync(`${bundle}/output`, 'w+', 0o600)];
  try {
    const root = means.openRoot(launch, []);
    if (!root.ok) return root.refusals[0]?.message ?? 'no root';
    const cgroups = context.cgroups.layout;
    const walls = { cgroup: cgroupsPath, cgroups, label: labelFor('qemu') };
    const site = { ...ids, rootDirectory: root.directory, ...walls, deviceNumbers: {} };
    writeWhole(`${bundle}/config.json`, JSON.stringify(means.compile(launch, site, root)), false);
    const outcome = await runDetached({
      binary,
      stateRoot,
      bundle,
      id: trialId,
      scope: context.scopes,
      descriptors: [input, output, output],
      deadlineMs: trialDeadlineMs,
      environment: means.environment,
    });
    return outcome.ok
      ? judgeTrial(await outputOf(outcome.pid, `${bundle}/output`), ids.within ?? ids.uid)
      : outcome.message;
  } catch (error) {
    return error instanceof Error ? error.message : 'failed';
  } finally {
    closeSync(input);
    closeSync(output);
    await means.end(trialId, undefined);
    rmSync(stateRoot, { recursive: true, force: true });
    rmSync(bundle, { recursive: true, force: true });
  }
}

const pollMs = 2;

/** What the program printed, once it has ended. */
async function outputOf(pid: number, file: string): Promise<string> {
  const deadline = performance.now() + trialDeadlineMs;
  while (startTimeOf(pid) !== undefined && performance.now() < deadline) await delay(pollMs);
  return readFileSync(file, 'utf8');
}

/** SECURITY: promise 5. A runtime is used only where its jail was seen to hold, not where it says that all went well. */
export function judgeTrial(status: string, uid: number): string | undefined {
  const fieldOf = (name: string): string | undefined =>
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
  if (fieldOf('Pid') === undefined) return `the program in the jail did not run: ${status.slice(0, 300)}`;
  const wrong = [
    ...['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].filter((name) => !/^0+$/.test(fieldOf(name) ?? '')),
    ...(fieldOf('Uid') === [uid, uid, uid, uid].join('\t') ? [] : ['Uid']),
    ...(fieldOf('NoNewPrivs') === '1' ? [] : ['NoNewPrivs']),
    ...(fieldOf('Seccomp') === '2' ? [] : ['Seccomp']),
    ...(fieldOf('Pid') === '1' ? [] : ['Pid']),
  ];
  return wrong.length === 0 ? undefined : `the jail does not hold: ${wrong.join(', ')}`;
}
