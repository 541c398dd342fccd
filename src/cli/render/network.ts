/** `qward network list` and `qward network show`. */
import type { CallResult } from '../../api/calls.ts';
import type { Style } from './style.ts';
import { renderFields, renderTable } from './table.ts';

export type NetworkEntry = CallResult<'networks'>['networks'][number];

const whoText = ({ who }: NetworkEntry): string =>
  who === null
    ? 'everybody'
    : [...who.users, ...who.groups.map((group) => `@${group}`)].join(',') || 'administrators';

const stateText = ({ up, served }: NetworkEntry): string =>
  up ? (served ? 'up' : 'up, without its server') : 'down';

export const renderNetworks = (networks: readonly NetworkEntry[], style: Style): string =>
  renderTable(
    networks,
    [
      { title: 'NAME', cell: ({ name }) => name, paint: (text) => style.bold(text) },
      { title: 'SUBNET', cell: ({ subnet }) => subnet },
      { title: 'MODE', cell: ({ mode }) => mode },
      {
        title: 'STATE',
        cell: stateText,
        paint: (text, row) => (row.up && !row.served ? style.red(text) : text),
      },
      { title: 'FOR', cell: whoText, fold: true },
      { title: 'MACHINES', cell: ({ machines }) => machines.join(','), fold: true },
    ],
    style,
  );

export function renderNetwork(network: NetworkEntry, style: Style): string {
  const { name, subnet, mode, madeBy, madeAt, addresses } = network;
  const head = renderFields(
    [
      ['name', name],
      ['subnet', subnet],
      ['mode', mode],
      ['state', stateText(network)],
      ['for', whoText(network)],
      ['made', `${madeAt} by ${madeBy}`],
    ],
    style,
  );
  if (addresses.length === 0) return head;
  const table = renderTable(
    addresses,
    [
      { title: 'ADDRESS', cell: ({ address }) => address },
      { title: 'MACHINE', cell: ({ machine }) => machine, paint: (text) => style.bold(text) },
      { title: 'CARD', cell: ({ nic }) => nic },
      { title: 'MAC', cell: ({ mac }) => mac },
    ],
    style,
  );
  return `${head}\n${table}`;
}
