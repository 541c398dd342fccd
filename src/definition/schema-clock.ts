/** Keys of the clocks that the guest sees. */
import * as z from 'zod';
import { textLike } from './scalars.ts';

const dateExpected = 'a date and time such as 2006-06-17T16:01:21';
const tenYears = 315_360_000;

export const clockSchema = z.strictObject({
  base: z
    .enum(['utc', 'localtime', 'timezone'])
    .default('utc')
    .describe(
      "What the hardware clock shows: `utc`, the time of this host's zone, or that of the zone in `timezone`, as it is at the start.",
    ),
  timezone: textLike(
    'time zone',
    /^[A-Za-z][A-Za-z0-9_+-]{0,31}(?:\/[A-Za-z0-9_+-]{1,32}){0,2}$/,
    'the name of a time zone such as Europe/Berlin',
  )
    .optional()
    .describe('For `base: timezone`.')
    .meta({ examples: ['Europe/Berlin'] }),
  offset: z
    .int()
    .min(-tenYears)
    .max(tenYears)
    .default(0)
    .describe('Seconds that the hardware clock is ahead of its base.'),
  start: textLike(
    'date',
    /^(?:19[7-9]\d|20\d\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$/,
    dateExpected,
  )
    .optional()
    .describe('The hardware clock begins at this date with each start, whatever the time of the host.')
    .meta({ examples: ['2006-06-17T16:01:21'] }),
  source: z
    .enum(['host', 'guest', 'realtime'])
    .default('host')
    .describe(
      'What the hardware clock runs by: the time of the host with its corrections, the time in which the guest runs, or a steady clock of the host.',
    ),
  driftFix: z
    .enum(['none', 'slew'])
    .default('none')
    .describe('Ticks of the hardware clock that the guest missed: lost, or given late (old Windows).'),
  pit: z
    .enum(['delay', 'discard'])
    .optional()
    .describe(
      'Ticks of the PIT that the guest missed, under KVM: given late, or lost; unset: as QEMU has it.',
    ),
  hpet: z.boolean().default(false).describe('High precision event timer.'),
  kvmclock: z.boolean().optional().describe("KVM's clock for Linux guests; unset: as QEMU has it."),
  tscFrequency: z
    .int()
    .min(1_000_000)
    .max(100_000_000_000)
    .optional()
    .describe('Frequency of the time stamp counter in Hz; unset: that of the host.')
    .meta({ examples: [2_400_000_000] }),
});
