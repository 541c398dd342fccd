/** The image tool: the first qemu-img of the policy that can be used, with the files of the system that it needs. */
import { statSync } from 'node:fs';
import type { JobTool } from '../../plan/disk-job.ts';
import type { Policy } from '../../policy/policy.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { listLibraries, loaderPath } from './library-closure.ts';
import { uniqueByTarget } from './qemu-modules.ts';
import { resolveSystemPath, targetInJail, type DirectoryFindings } from './system-path.ts';

/** Faults: qemu-missing; qemu-unsafe where a file lies outside /usr or others than root can change it. */
export async function gatherImageTool(binary: string): Promise<Outcome<JobTool>> {
  const findings: DirectoryFindings = new Map();
  const resolved = await resolveSystemPath(binary, findings);
  if (!resolved.ok) return resolved.why.endsWith(': ENOENT') ? missing(binary) : unsafe(binary, resolved.why);
  const [libraries, loader] = await Promise.all([
    listLibraries(resolved.source, findings),
    resolveSystemPath(loaderPath, findings),
  ]);
  if (!libraries.ok) return unsafe(binary, libraries.why);
  if (!loader.ok) return unsafe(binary, loader.why);
  const closure = uniqueByTarget([
    { source: resolved.source, target: resolved.source },
    { source: loader.source, target: targetInJail(loaderPath) },
    ...libraries.paths,
  ]);
  return success({ binary: resolved.source, closure });
}

/** Looks anew when a file of the closure was replaced, or the policy lists others. */
export class ImageToolSource {
  readonly #policy: () => Outcome<Policy>;
  #known: { readonly listed: string; readonly stamp: string; readonly tool: JobTool } | undefined;

  constructor(policy: () => Outcome<Policy>) {
    this.#policy = policy;
  }

  async read(): Promise<Outcome<JobTool>> {
    const policy = this.#policy();
    if (!policy.ok) return policy;
    const { imageTools } = policy.value;
    const listed = imageTools.join('\n');
    if (this.#known?.listed === listed && this.#known.stamp === stampOf(this.#known.tool))
      return success(this.#known.tool);
    let first: Outcome<JobTool> | undefined;
    for (const binary of imageTools) {
      const tool = await gatherImageTool(binary);
      if (tool.ok) this.#known = { listed, stamp: stampOf(tool.value), tool: tool.value };
      if (tool.ok) return tool;
      first ??= tool;
    }
    return (
      first ?? failure('qemu-missing', 'the policy lists no image tool', 'list qemu-img under `imageTools`')
    );
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

function missing(binary: string): Outcome<never> {
  return failure(
    'qemu-missing',
    `there is no image tool at ${binary}`,
    'apt-get install qemu-utils, or list another under `imageTools` in /etc/qward/policy.json',
  );
}

function unsafe(binary: string, why: string): Outcome<never> {
  return failure(
    'qemu-unsafe',
    `${binary} cannot be used: ${why}`,
    "reinstall the package that the file belongs to; it and its libraries must lie beneath /usr and be root's alone",
  );
}
