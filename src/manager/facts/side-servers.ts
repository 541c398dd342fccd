/** What TPMs and shared folders of machines need of the host. */
import { shareBeginner } from '../../protocol/side-servers.ts';
import { readFileSync } from 'node:fs';
import type { HostFacts } from '../../plan/launch-plan.ts';
import type { PolicySource } from '../policy-source.ts';
import { ToolSource, type ToolKind } from './tool.ts';

export const tpmServer: ToolKind = {
  key: 'tpmServers',
  code: 'helper-missing',
  what: 'server of TPMs',
  package: 'swtpm',
};

export const shareServer: ToolKind = {
  key: 'shareServers',
  code: 'helper-missing',
  what: 'server of shared folders',
  package: 'qemu-system-common',
  beside: shareBeginner.filter((word) => word.startsWith('/')),
};

/** Null: there is none that the policy lists. */
export function sideServerOf(
  policy: Pick<PolicySource, 'current'>,
  kind: ToolKind,
): () => Promise<HostFacts['swtpm']> {
  const source = new ToolSource(policy.current, kind);
  return async () => {
    const tool = await source.read();
    return tool.ok ? tool.value : null;
  };
}

/** What this process may raise its limit to, which is what the broker has too (proc(5)): a container may have less than the kernel. */
export const mostOpenFiles = (): number =>
  Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 4096);
