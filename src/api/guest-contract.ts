/** The calls on what a guest shows and takes: rows of the contract. */
import * as z from 'zod';
import { endpoints } from './endpoints.ts';
import { keyNames } from './keys.ts';

const onMachine = z.strictObject({ name: z.string().min(1).max(63) });
const name = z.string();

export const guestRoutes = {
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
} as const;
