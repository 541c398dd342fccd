/** What the TPMs of machines need of the host. */
import type { ToolKind } from './tool.ts';

export const tpmServer: ToolKind = {
  key: 'tpmServers',
  code: 'helper-missing',
  what: 'server of TPMs',
  package: 'swtpm',
};
