/** Gathers what a plan must know of QEMU: its version, and every file that it needs of the system. */
import { normalize } from 'node:path';
import type { QemuFacts } from '../../plan/launch-plan.ts';
import type { SystemPath } from '../../protocol/launch.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { listLibraries, loaderPath } from './library-closure.ts';
import { listModules, uniqueByTarget } from './qemu-modules.ts';
import { parseQemuVersion, type QemuVersion } from './qemu-version.ts';
import { runProgram } from './run-program.ts';
import { resolveSystemPath, targetInJail, type DirectoryFindings } from './system-path.ts';

export const defaultQemu = '/usr/bin/qemu-system-x86_64';

const limits = { deadlineMs: 5000, maxBytes: 64 * 1024 } as const;

export interface GatheredQemu {
  readonly facts: QemuFacts;
  /** Directory whose change means that modules came or went; null: built without modules. */
  readonly moduleDirectory: string | null;
}

/**
 * Faults: qemu-missing; qemu-unsafe where a file lies outside /usr or others than root can change it. Whether the version
 * will do is the planner's to say.
 */
export async function gatherQemu(binary: string): Promise<Outcome<GatheredQemu>> {
  const findings: DirectoryFindings = new Map();
  const resolved = await resolveSystemPath(binary, findings);
  if (!resolved.ok) return resolved.why.endsWith(': ENOENT') ? missing(binary) : unsafe(binary, resolved.why);
  const real = resolved.source;
  const [version, libraries, directories] = await Promise.all([
    readVersion(real),
    listLibraries(real, findings),
    listDataDirectories(real, findings),
  ]);
  if (!version.ok) return version;
  if (!libraries.ok) return unsafe(binary, libraries.why);
  const loader = await resolveSystemPath(loaderPath, findings);
  if (!loader.ok) return unsafe(binary, loader.why);
  const closure = uniqueByTarget([
    { source: real, target: real },
    { source: loader.source, target: targetInJail(loaderPath) },
    ...libraries.paths,
    ...directories,
  ]);
  const { directory, modules } = await listModules(real, closure, findings);
  return success({
    facts: { binary: real, version: version.value, closure, modules },
    moduleDirectory: directory,
  });
}

async function readVersion(binary: string): Promise<Outcome<QemuVersion>> {
  const output = await runProgram(binary, ['--version'], limits);
  if (!output.ok)
    return failure('qemu-missing', `${binary} --version failed: ${output.why}`, 'reinstall QEMU');
  const version = parseQemuVersion(output.stdout);
  if (version === undefined)
    return failure(
      'qemu-missing',
      `${binary} does not say which QEMU it is: "QEMU emulator version …" expected`,
      'name a QEMU system emulator for x86-64 in /etc/qward/policy.json',
    );
  return success(version);
}

/** The directories of firmware and ROMs where this QEMU looks (`-L help`), as far as they are there. */
async function listDataDirectories(binary: string, findings: DirectoryFindings): Promise<SystemPath[]> {
  const output = await runProgram(binary, ['-L', 'help'], limits);
  const directories: SystemPath[] = [];
  for (const line of output.ok ? output.stdout.split('\n') : []) {
    if (!line.startsWith('/')) continue;
    const target = normalize(line);
    const resolved = await resolveSystemPath(target, findings);
    if (target.startsWith('/usr/') && resolved.ok && resolved.kind === 'directory')
      directories.push({ source: resolved.source, target });
  }
  return directories;
}

function missing(binary: string): Outcome<never> {
  return failure(
    'qemu-missing',
    `there is no QEMU at ${binary}`,
    'apt-get install qemu-system-x86, or name another binary in /etc/qward/policy.json',
  );
}

function unsafe(binary: string, why: string): Outcome<never> {
  return failure(
    'qemu-unsafe',
    `${binary} cannot be used: ${why}`,
    "reinstall the package that the file belongs to; QEMU and its libraries must lie beneath /usr and be root's alone",
  );
}
