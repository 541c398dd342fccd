import type { CallResult } from '../../api/calls.ts';
import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { renderTable, type Column } from '../render/table.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Stats = CallResult<'stats'>;
type Disk = NonNullable<Stats['disks']>[number];
type Nic = Stats['nics'][number];

const diskColumns: readonly Column<Disk>[] = [
  { title: 'DISK', cell: ({ disk }) => disk },
  { title: 'READ', cell: ({ readBytes }) => formatBytes(readBytes), align: 'right' },
  { title: 'WRITTEN', cell: ({ writtenBytes }) => formatBytes(writtenBytes), align: 'right' },
  { title: 'READS', cell: ({ reads }) => String(reads), align: 'right' },
  { title: 'WRITES', cell: ({ writes }) => String(writes), align: 'right' },
  { title: 'FLUSHES', cell: ({ flushes }) => String(flushes), align: 'right' },
];
const nicColumns: readonly Column<Nic>[] = [
  { title: 'NIC', cell: ({ nic }) => nic },
  { title: 'RECEIVED', cell: ({ receivedBytes }) => formatBytes(receivedBytes), align: 'right' },
  { title: 'SENT', cell: ({ sentBytes }) => formatBytes(sentBytes), align: 'right' },
  { title: 'PACKETS IN', cell: ({ receivedPackets }) => String(receivedPackets), align: 'right' },
  { title: 'PACKETS OUT', cell: ({ sentPackets }) => String(sentPackets), align: 'right' },
];

export const stats = defineCommand({
  name: 'stats',
  summary: 'Show what a running machine uses: CPU, memory, disks, network.',
  details:
    'Counted since its start. Of cards that passt serves nothing is counted. `qward top` shows it a second; programs read\n' +
    '`GET /metrics` of the API, in the text format of Prometheus.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [
    { line: 'qward stats web', meaning: 'one machine' },
    { line: 'qward stats web --json', meaning: 'for programs' },
  ],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await withNearestName(
      context,
      name,
      await context.during(`asking what ${name} uses`, context.client.call('stats', { name })),
    );
    return fromReply(reply, ({ state, cpu, memory, disks, nics }, style) => {
      const lines = [
        `${style.bold(escapeLine(name))}: ${escapeLine(state)}`,
        ...(cpu === null ? [] : [`cpu     ${cpu.seconds.toFixed(1)} s on ${cpu.cpus} CPUs`]),
        ...(memory === null
          ? []
          : [
              `memory  ${formatBytes(memory.used)} of ${formatBytes(memory.limit)}${memory.guest === null ? '' : `, the guest has ${formatBytes(memory.guest)}`}`,
            ]),
      ];
      const tables = [
        ...(disks === null || disks.length === 0 ? [] : [renderTable(disks, diskColumns, style)]),
        ...(nics.length === 0 ? [] : [renderTable(nics, nicColumns, style)]),
      ];
      return [`${lines.join('\n')}\n`, ...tables].join('\n');
    });
  },
});
