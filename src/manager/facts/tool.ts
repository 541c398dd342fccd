/** Programs beside QEMU: the first of the policy that can be used, with the files of the system that it needs. */
import { statSync } from 'node:fs';
import type { Fault } from '../../definition/fault.ts';
import type { JobTool } from '../../plan/disk-job.ts';
import type { Policy } from '../../policy/policy.ts';
import type { SystemPath } from '../../protocol/launch.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { listLibraries, loaderPath } from './library-closure.ts';
import { uniqueByTarget } from './qemu-modules.ts';
import { resolveSystemPath, targetInJail, type DirectoryFindings } from './system-path.ts';

/** What a tool is for: the key of the policy that lists it, and what is said where there is none. */
export interface ToolKind {
  readonly key: 'imageTools' | 'networkHelpers' | 'networkServers' | 'tpmServers' | 'shareServers';
  readonly code: 'qemu-missing' | 'helper-missing';
  /** `image tool`. */
  readonly what: string;
  readonly package: string;
  /** Programs that begin it, by path. */
  readonly beside?: readonly string[];
  /** Those that are better than others of the list come first. */
  readonly order?: (binaries: readonly string[]) => readonly string[];
}

export const imageTool: ToolKind = {
  key: 'imageTools',
  code: 'qemu-missing',
  what: 'image tool',
  package: 'qemu-utils',
};

/** Faults: the kind's code; qemu-unsafe where a file lies outside /usr or others than root can change it. */
export async function gatherTool(binary: string, kind: ToolKind): Promise<Outcome<JobTool>> {
  const findings: DirectoryFindings = new Map();
  const loader = await resolveSystemPath(loaderPath, findings);
  if (!loader.ok) return unsafe(binary, loader.why);
  const closure: SystemPath[] = [{ source: loader.source, target: targetInJail(loaderPath) }];
  let own = '';
  for (const program of [binary, ...(kind.beside ?? [])]) {
    const resolved = await resolveSystemPath(program, findings);
    if (!resolved.ok)
      return resolved.why.endsWith(': ENOENT') ? missing(program, kind) : unsafe(program, resolved.why);
    const libraries = await listLibraries(resolved.source, findings);
    if (!libraries.ok) return unsafe(program, libraries.why);
    own ||= resolved.source;
    closure.push({ source: resolved.source, target: resolved.source }, ...libraries.paths);
  }
  return success({ binary: own, closure: uniqueByTarget(closure) });
}

/** No program of the kind is listed. */
export const unlisted = ({ key, what, package: deb }: ToolKind): Fault => ({
  code: 'policy-refused',
  message: `the policy lists no ${what}`,
  hint: `list that of ${deb} under \`${key}\``,
  rule: key,
});

/** Looks anew when a file of the closure was replaced, or the policy lists others. */
export class ToolSource {
  readonly #policy: () => Outcome<Policy>;
  readonly #kind: ToolKind;
  #known: { readonly listed: string; readonly stamp: string; readonly tool: JobTool } | undefined;

  constructor(policy: () => Outcome<Policy>, kind: ToolKind) {
    this.#policy = policy;
    this.#kind = kind;
  }

  async read(): Promise<Outcome<JobTool>> {
    const policy = this.#policy();
    if (!policy.ok) return policy;
    const { key, order = (binaries) => binaries } = this.#kind;
    const binaries = policy.value[key];
    const listed = binaries.join('\n');
    if (this.#known?.listed === listed && this.#known.stamp === stampOf(this.#known.tool))
      return success(this.#known.tool);
    let first: Outcome<JobTool> | undefined;
    for (const binary of order(binaries)) {
      const tool = await gatherTool(binary, this.#kind);
      if (tool.ok) this.#known = { listed, stamp: stampOf(tool.value), tool: tool.value };
      if (tool.ok) return tool;
      first ??= tool;
    }
    return first ?? { ok: false, faults: [unlisted(this.#kind)] };
  }
}

function stampOf({ closure }: JobTool): string {
  return closure
    .map(({ source }) => statSync(source, { throwIfNoEntry: false }))
    .map((stats) =>
      stats === undefined ? Math.random() : `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeMs}`,
    )
    .join('\n');
}

function missing(binary: string, { code, what, package: deb, key }: ToolKind): Outcome<never> {
  return failure(
    code,
    `there is no ${what} at ${binary}`,
    `apt-get install ${deb}, or list another under \`${key}\` in /etc/qward/policy.json`,
  );
}

function unsafe(binary: string, why: string): Outcome<never> {
  return failure(
    'qemu-unsafe',
    `${binary} cannot be used: ${why}`,
    "reinstall the package that the file belongs to; it and its libraries must lie beneath /usr and be root's alone",
  );
}
