/**
 * Raw facts about a process for the audit, read as root: text of /proc files and listings, no judgement (proc(5)).
 * Nothing is opened but files of /proc and of cgroup file systems, and directories; all else is looked at by name.
 */
import { closeSync, constants, openSync, readlinkSync, statSync } from 'node:fs';
import type { OpenDescriptor, ProcessFacts } from '../protocol/broker.ts';
import { errorCode, unlessMissing } from './errno.ts';
import { readCgroupFiles } from './process-facts-cgroup.ts';
import { readDev } from './process-facts-dev.ts';
import { listNames, readOptional, readText } from './process-facts-read.ts';
import { findUnixSockets } from './process-facts-sockets.ts';
import { parseStat, processesOfUids } from './process.ts';

export type FactsOutcome =
  | { readonly ok: true; readonly facts: ProcessFacts }
  /** `gone`: no such process, or a zombie; `refused`: the kernel does not let us look; `too-large`: beyond every bound. */
  | { readonly ok: false; readonly reason: 'gone' | 'refused' | 'too-large' };

export interface FactsOptions {
  /** Look for other processes with the same uid: reads the status of every process. */
  readonly sharers: boolean;
}

/** Reads everything that an audit of the process needs, in some milliseconds. */
export function readProcessFacts(pid: number, options: FactsOptions = { sharers: false }): FactsOutcome {
  if (!Number.isSafeInteger(pid) || pid < 1) return { ok: false, reason: 'gone' };
  let directory: number | undefined;
  try {
    // SECURITY: promise 5. The open directory stays with this process: what follows cannot meet another with its pid.
    directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
    const proc = `/proc/self/fd/${directory}`;
    const thread = findLiving(proc);
    if (thread === undefined) return { ok: false, reason: 'gone' };
    const { startTime } = readStat(proc);
    const facts = { pid, startTime, threads: readThreads(proc), ...readFacts(thread, options) };
    const after = findLiving(proc);
    if (after === undefined || readStat(proc).startTime !== startTime) return { ok: false, reason: 'gone' };
    // What was read of one that ended meanwhile is that of no process.
    return after === thread ? { ok: true, facts } : { ok: false, reason: 'refused' };
  } catch (error) {
    return { ok: false, reason: reasonOf(error) };
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

function reasonOf(error: unknown): 'gone' | 'refused' | 'too-large' {
  if (error instanceof RangeError) return 'too-large';
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ESRCH') return 'gone';
  // EINVAL: the thread that was looked at ended at this moment (mountinfo), whether others live or not.
  if (code === 'EACCES' || code === 'EPERM' || code === 'EINVAL') return 'refused';
  throw error;
}

const readStat = (proc: string): ReturnType<typeof parseStat> => parseStat(readText(`${proc}/stat`));

/**
 * SECURITY: promise 5. A main thread that ended while others run on shows as a zombie and has no files any more: the
 * process lives, and is read through a thread that does. Undefined: the process has ended.
 */
function findLiving(proc: string): string | undefined {
  const main = readStat(proc);
  if (!main.exiting) return proc;
  if (main.ended) return undefined;
  const threads = listNames(`${proc}/task`).map((tid) => `${proc}/task/${tid}`);
  return threads.find((thread) => unlessMissing(() => !readStat(thread).exiting) ?? false);
}

function readFacts(proc: string, options: FactsOptions): Omit<ProcessFacts, 'pid' | 'startTime' | 'threads'> {
  const status = readText(`${proc}/status`);
  const cgroup = readText(`${proc}/cgroup`);
  const hostMountinfo = readText('/proc/self/mountinfo');
  const descriptors = readDescriptors(proc);
  const first = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return {
    kernel: readText('/proc/sys/kernel/osrelease').trim(),
    exe: unlessMissing(() => readlinkSync(`${proc}/exe`)) ?? '',
    cmdline: readText(`${proc}/cmdline`).split('\0').slice(0, -1),
    status,
    sharers: options.sharers ? processesOfUids(first('Uid'), 1).filter((pid) => pid !== first('Tgid')) : null,
    limits: readText(`${proc}/limits`),
    cgroup,
    mountinfo: readText(`${proc}/mountinfo`),
    hostMountinfo,
    label: readOptional(`${proc}/attr/current`).replace(/[\0\n]+$/, ''),
    namespaces: readNamespaces(proc),
    hostNamespaces: readHostNamespaces(),
    idMaps: { uid: readOptional(`${proc}/uid_map`), gid: readOptional(`${proc}/gid_map`) },
    root: readRoot(proc),
    dev: readDev(proc),
    descriptors,
    sockets: findUnixSockets(proc, descriptors),
    netDev: readOptional(`${proc}/net/dev`),
    mappedFiles: readMappedFiles(proc),
    ...readCgroupFiles(cgroup, hostMountinfo),
  };
}

function readThreads(proc: string): ProcessFacts['threads'] {
  return listNames(`${proc}/task`).flatMap((tid) => {
    const status = unlessMissing(() => readText(`${proc}/task/${tid}/status`));
    return status === undefined ? [] : [{ tid: Number(tid), status }];
  });
}

function readNamespaces(proc: string): Record<string, string> {
  return Object.fromEntries(
    listNames(`${proc}/ns`).flatMap((name) => {
      // pid_for_children leads nowhere until there is a child (pid_namespaces(7)).
      const target = unlessMissing(() => readlinkSync(`${proc}/ns/${name}`));
      return target === undefined ? [] : [[name, target]];
    }),
  );
}

/** The broker may have a mount namespace of its own, so pid 1 counts as the host as well, where the kernel shows it. */
function readHostNamespaces(): Record<string, string[]> {
  const own = readNamespaces('/proc/self');
  let first = own;
  try {
    first = readNamespaces('/proc/1');
  } catch (error) {
    // pid 1 may have capabilities that this process lacks: ptrace(2), "access mode checking".
    if (reasonOf(error) !== 'refused') throw error;
  }
  return Object.fromEntries(
    Object.entries(own).map(([name, target]) => [name, [...new Set([first[name] ?? target, target])]]),
  );
}

function readRoot(proc: string): ProcessFacts['root'] {
  const [root, host] = [statSync(`${proc}/root`), statSync('/')];
  return {
    target: readlinkSync(`${proc}/root`),
    sameAsHost: root.dev === host.dev && root.ino === host.ino,
    entries: listNames(`${proc}/root`),
  };
}

function readDescriptors(proc: string): OpenDescriptor[] {
  return listNames(`${proc}/fd`).flatMap((name) => {
    // stat goes to the open file itself and opens nothing; a descriptor closed meanwhile is left out.
    const seen = unlessMissing(() => ({
      target: readlinkSync(`${proc}/fd/${name}`),
      stats: statSync(`${proc}/fd/${name}`),
      info: readText(`${proc}/fdinfo/${name}`),
    }));
    if (seen === undefined) return [];
    const { target, stats, info } = seen;
    const flags = Number.parseInt(/^flags:\s+([0-7]+)$/m.exec(info)?.[1] ?? '', 8);
    const type = stats.mode & constants.S_IFMT;
    const tap = /^iff:\s+(\S+)$/m.exec(info)?.[1];
    const named = tap === undefined ? {} : { tap };
    return [{ fd: Number(name), target, flags, device: stats.dev, inode: stats.ino, type, ...named }];
  });
}

/**
 * `DEVICE:INODE` of what a link of /proc leads to, for files that are a mount by themselves and have no path; `*:INODE` where we may
 * not follow it, which takes a capability of the host's (proc(5), map_files): the device in maps is not that of stat on btrfs.
 */
const identityOf = (link: string, inode: string): string => {
  const stats = unlessMissing(() => statSync(link), ['ENOENT', 'ESRCH', 'EPERM', 'EACCES']);
  if (stats !== undefined) return `${stats.dev}:${stats.ino}`;
  return process.getuid?.() === 0 ? '' : `*:${inode}`;
};

/** The sixth field of /proc/PID/maps, of mappings that have an inode; with its identity where that is `/`. */
function readMappedFiles(proc: string): string[] {
  const files = new Set<string>();
  for (const line of readText(`${proc}/maps`).split('\n')) {
    const path = line.indexOf('/');
    const [range, , , , inode] = line.split(' ', 5);
    if (path >= 0 && inode !== '0')
      files.add(
        line.slice(path) +
          (line.slice(path) === '/' ? identityOf(`${proc}/map_files/${range}`, inode ?? '') : ''),
      );
  }
  return [...files];
}
