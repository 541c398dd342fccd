/** The calls that move a running machine to another host: rows of the contract, and what two managers say to each other. */
import * as z from 'zod';
import { endpoints } from './endpoints.ts';

const onMachine = z.strictObject({ name: z.string().min(1).max(63) });
const token = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .describe('Names this move to both managers; the client draws it.');

export const moveKinds = ['given', 'gone', 'arriving', 'arrived', 'unreadable'] as const;
export type MoveKind = (typeof moveKinds)[number];

/** It stands in commands that are there to be copied: a host as ssh has it, or a path, and no word more. */
const peer = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9_./][A-Za-z0-9_.:@/[\]%+,=~-]*$/, {
    error: 'a host such as ssh://db2, or a path, of letters, digits and _.:@/[]%+,=~-',
  })
  .describe('What the other host is called, for messages.');

/** In `status`: on which host the guest of a machine is, where that was ever a question. */
export const moveStatus = z
  .object({
    kind: z
      .enum(moveKinds)
      .describe(
        'given: stands still here, and it is not known whether it runs there. gone: it is there. arriving: it was to come here, and that was cut off. arrived: it came from there.',
      ),
    token: z.string(),
    peer: z.string().describe('The other host, as the user called it.'),
    at: z.string().describe('ISO 8601.'),
    by: z.string(),
  })
  .nullable()
  .describe('What is noted of its last move between hosts.');

export const migrationRoutes = {
  migrate: {
    ...endpoints.migrate,
    right: 'define',
    logged: true,
    summary:
      'The memory of a running machine for another manager: the client carries all frames to the stream of `arrive` there, and back. ' +
      'The guest runs on until all is there; then exactly one side goes on. The last text frame is for the client (docs/migration.md).',
    params: onMachine,
    query: z.strictObject({
      token,
      peer,
      bandwidth: z.coerce
        .number()
        .int()
        .min(0)
        .max(Number.MAX_SAFE_INTEGER)
        .default(0)
        .describe('Bytes a second at most; 0: as fast as it goes.'),
      downtimeMs: z.coerce
        .number()
        .int()
        .min(1)
        .max(60_000)
        .default(300)
        .describe('How long the guest may stand still at the end.'),
      timeoutMs: z.coerce
        .number()
        .int()
        .min(0)
        .max(86_400_000)
        .default(0)
        .describe('Given up after this; 0: never.'),
    }),
  },
  arrive: {
    ...endpoints.arrive,
    right: 'define',
    logged: true,
    summary:
      'The other end of `migrate`: the machine, which is defined and stopped here, is launched as for any start, and takes its memory from there.',
    params: onMachine,
    query: z.strictObject({ token, peer }),
  },
  settleMove: {
    ...endpoints.settleMove,
    right: 'define',
    logged: true,
    summary:
      'After a move whose end was not heard: `ask` tells whether the machine came here, and that it will not any more where it did not; that is a fault where it is not sure. ' +
      '`keep` lets it go on here, `gone` ends it here.',
    params: onMachine,
    body: z.strictObject({ token: z.string().max(64), verdict: z.enum(['ask', 'keep', 'gone']) }),
    result: z.object({
      name: z.string(),
      arrived: z.boolean(),
      outcome: z.string().describe('`goes on here`, `ended here`, `arrived here`, `did not arrive`.'),
    }),
  },
} as const;

const mark = z.strictObject({ size: z.int().min(0), modifiedMs: z.number().nullable() });
const marks = z.record(z.string().max(4096), mark);
const words = z.string().max(4096);

/** SECURITY: rule peer. Each frame of the other manager, which may be anybody's: in form, bounded, and one of these. */
export const moveMessage = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('offer'),
    version: z.literal(1),
    definition: z.string().max(48 * 1024),
    revision: z.string().max(64).nullable(),
    argv: z.array(words).max(1024),
    qemu: z.strictObject({ major: z.int(), minor: z.int(), micro: z.int() }),
    /** What the CPU is where the guest sees that of the host; else null. */
    cpu: z.string().max(8192).nullable(),
    paused: z.boolean(),
    files: z.record(z.string().max(4096), mark.extend({ written: z.boolean() })),
  }),
  /** It waits for the memory, behind proved walls. */
  z.strictObject({ kind: z.literal('ready') }),
  /** All of the memory was sent. */
  z.strictObject({ kind: z.literal('eof'), bytes: z.int().min(0) }),
  z.strictObject({ kind: z.literal('loaded') }),
  /** It is the other's from here on; its files are these. */
  z.strictObject({ kind: z.literal('go'), files: marks }),
  z.strictObject({ kind: z.literal('running') }),
  /** It never ran there, and will not (`ran` false), or nobody knows. */
  z.strictObject({
    kind: z.literal('failed'),
    ran: z.boolean(),
    faults: z
      .array(z.strictObject({ code: z.string().max(64), message: words, hint: words }))
      .min(1)
      .max(64),
  }),
]);
export type MoveMessage = z.output<typeof moveMessage>;

/** The last text frame of the stream of `migrate`, which is for the client. */
export type MoveEnd =
  | { readonly kind: 'done'; readonly downtimeMs: number; readonly bytes: number }
  | {
      readonly kind: 'ended';
      /** It is not known whether it runs there: it is to be asked, and told to this manager. */
      readonly undecided: boolean;
      readonly faults: readonly { readonly code: string; readonly message: string; readonly hint: string }[];
    };
