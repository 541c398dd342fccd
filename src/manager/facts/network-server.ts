/** What the servers of managed networks need of the host. */
import { serverBeginner } from '../../protocol/networks.ts';
import type { ToolKind } from './tool.ts';

export const networkServer: ToolKind = {
  key: 'networkServers',
  code: 'helper-missing',
  what: 'server of networks',
  package: 'dnsmasq-base',
  beside: serverBeginner.filter((word) => word.startsWith('/')),
};
