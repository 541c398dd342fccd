/** The calls on what machines use: rows of the contract. */
import * as z from 'zod';
import { endpoints, machineStates } from './endpoints.ts';

const count = z.int().min(0);
const machineStats = z
  .object({
    name: z.string(),
    state: z.enum(machineStates),
    at: z.string().describe('When it was looked at, ISO 8601.'),
    cpu: z
      .object({ seconds: z.number().describe('Time on CPUs of the host since the start.'), cpus: z.int() })
      .nullable()
      .describe('Null, as all else: it does not run, or the host does not tell.'),
    memory: z
      .object({
        used: count.describe('Of the host, bytes.'),
        limit: count.describe('What it may use, bytes.'),
        guest: count.nullable().describe('What the guest has, bytes.'),
      })
      .nullable(),
    disks: z
      .array(
        z.object({
          disk: z.string(),
          readBytes: count,
          writtenBytes: count,
          reads: count,
          writes: count,
          flushes: count,
        }),
      )
      .nullable()
      .describe('What the guest did since the start; null: QEMU does not answer.'),
    nics: z
      .array(
        z.object({
          nic: z.string(),
          receivedBytes: count,
          sentBytes: count,
          receivedPackets: count,
          sentPackets: count,
        }),
      )
      .describe('Cards on bridges, as the guest sees it.'),
  })
  .meta({ id: 'MachineStats' });

export const statsRoutes = {
  stats: {
    ...endpoints.stats,
    right: 'see',
    summary: 'What a machine uses: CPU, memory, disks, network.',
    params: z.strictObject({ name: z.string().min(1).max(63) }),
    result: machineStats,
  },
  allStats: {
    ...endpoints.allStats,
    right: 'see',
    summary:
      'The same of every machine that you may see. `GET /metrics` has it in the text format of Prometheus.',
    result: z.array(machineStats),
  },
} as const;
