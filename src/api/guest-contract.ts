/** The calls on what a guest shows and takes, and on what its agent does: rows of the contract. */
import * as z from 'zod';
import { endpoints } from './endpoints.ts';
import { keyNames } from './keys.ts';

const onMachine = z.strictObject({ name: z.string().min(1).max(63) });
const name = z.string();
// oxlint-disable-next-line no-control-regex -- NUL ends a C string
const text = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[^\u0000]*$/, 'text without NUL expected');

export const guestRoutes = {
  screens: {
    ...endpoints.screens,
    right: 'see',
    summary: 'Screens of running machines that you may see, and who looks at each.',
    result: z.object({
      screens: z.array(
        z.object({
          name,
          viewers: z.array(z.object({ user: z.string(), since: z.string().describe('ISO 8601.') })),
        }),
      ),
    }),
  },
  media: {
    ...endpoints.media,
    right: 'see',
    summary: 'The drives for discs of a running machine, and what is in them.',
    params: onMachine,
    result: z.object({
      name,
      drives: z.array(
        z.object({
          drive: z.string(),
          path: z.string().nullable().describe('Null: no disc.'),
          trayOpen: z.boolean(),
          locked: z.boolean().describe('The guest uses the disc, and keeps the tray in.'),
        }),
      ),
    }),
  },
  setMedium: {
    ...endpoints.setMedium,
    right: 'define',
    logged: true,
    summary:
      'Puts another disc into a drive of a running machine, or takes it out; the walls are looked at afterwards. The definition stays as it is.',
    params: onMachine,
    body: z.strictObject({
      drive: z.string().min(1).max(31),
      path: text(4095)
        .regex(/^\//, 'an absolute path expected')
        .nullable()
        .describe('Image of the disc; null: take it out.'),
      force: z.boolean().default(false).describe('Take it out although the guest uses it.'),
    }),
    result: z.object({ name, drive: z.string(), outcome: z.enum(['inserted', 'ejected']) }),
  },
  screenshot: {
    ...endpoints.screenshot,
    right: 'console',
    summary: 'What the screen shows now, as PNG.',
    params: onMachine,
    result: z.object({
      name,
      png: z.base64().describe('The picture, base64.'),
      width: z.int().describe('Pixels.'),
      height: z.int(),
    }),
  },
  sendKeys: {
    ...endpoints.sendKeys,
    right: 'console',
    logged: true,
    summary: 'Presses keys, one combination after the other; answers when the last was let go of.',
    params: onMachine,
    body: z.strictObject({
      keys: z
        .array(z.array(z.enum(keyNames)).min(1).max(8))
        .min(1)
        .max(1024)
        .describe('Combinations: keys that are held together, by their names in QEMU (QKeyCode).'),
      holdMs: z.int().min(1).max(10_000).default(30).describe('How long each is held, milliseconds.'),
    }),
    result: z.object({ name, sent: z.int().describe('Combinations.') }),
  },
  guest: {
    ...endpoints.guest,
    right: 'guest',
    summary: "What the guest's agent says of itself and its system.",
    params: onMachine,
    result: z.object({
      name,
      agent: z.string().describe('Version of the agent.'),
      hostName: z.string().nullable().describe('Null: the agent does not tell.'),
      system: z.string().nullable(),
      kernel: z.string().nullable(),
      frozen: z.boolean().nullable().describe('Whether its file systems are frozen.'),
    }),
  },
  exec: {
    ...endpoints.exec,
    right: 'guest',
    logged: true,
    summary: 'Runs a program in the guest by its agent, without a shell, and answers when it has ended.',
    params: onMachine,
    body: z.strictObject({
      argv: z
        .array(text(32_768))
        .min(1)
        .max(256)
        .describe('The program, by its path or by its name, and its arguments.'),
      env: z
        .record(
          z
            .string()
            .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
            .max(256),
          text(32_768),
        )
        .default({})
        .describe('The whole environment, where it is not empty.'),
      input: z.base64().max(1_400_000).optional().describe('Standard input, base64; at most 1 MiB.'),
      timeoutMs: z.int().min(1).max(86_400_000).default(60_000),
    }),
    result: z.object({
      name,
      exitCode: z.int().nullable().describe('Null: a signal ended it.'),
      signal: z.int().nullable(),
      stdout: z.string().describe('Base64; with stderr 3 MiB at most.'),
      stderr: z.string(),
      truncated: z.boolean().describe('The agent kept only the beginning of what it wrote.'),
    }),
  },
  guestFile: {
    ...endpoints.guestFile,
    right: 'guest',
    logged: true,
    summary:
      'A file of the guest, read or written by its agent: the file in binary frames, JSON notices in text frames. Who writes ends with an empty frame.',
    params: onMachine,
    query: z.strictObject({
      path: text(4096).min(1).describe('Path in the guest.'),
      direction: z.enum(['read', 'write']),
    }),
  },
  freeze: {
    ...endpoints.freeze,
    right: 'guest',
    logged: true,
    summary: "Freezes the guest's file systems, whole and consistent on their disks, until they are thawed.",
    params: onMachine,
    result: z.object({ name, fileSystems: z.int() }),
  },
  thaw: {
    ...endpoints.thaw,
    right: 'guest',
    logged: true,
    summary: "Thaws the guest's file systems.",
    params: onMachine,
    result: z.object({ name, fileSystems: z.int() }),
  },
  timeSync: {
    ...endpoints.timeSync,
    right: 'guest',
    logged: true,
    summary: "Sets the guest's clock by the host's.",
    params: onMachine,
    result: z.object({ name, time: z.string().describe('What it was set to, ISO 8601.') }),
  },
} as const;
