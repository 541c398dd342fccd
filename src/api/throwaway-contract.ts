/** The call for a throwaway machine: a row of the contract, and what goes over its stream. */
import * as z from 'zod';
import { line } from '../definition/scalars.ts';
import { endpoints } from './endpoints.ts';

const ttlMs = z
  .int()
  .min(1)
  .max(86_400_000)
  .default(600_000)
  .describe('How long the machine may be there once it is started, milliseconds.');

/** The client's first text frame. */
export const throwawayWish = z.union([
  z.strictObject({
    source: z
      .string()
      .max(60 * 1024)
      .describe('The definition as YAML, with the name that was given.'),
    ttlMs,
  }),
  z.strictObject({
    from: z.string().max(63).describe('The saved machine that it is a copy of.'),
    description: line(200).default('a throwaway machine'),
    ttlMs,
  }),
]);
export type ThrowawayWish = z.output<typeof throwawayWish>;

export const throwawayRoutes = {
  run: {
    ...endpoints.run,
    right: 'define',
    logged: true,
    summary:
      'A machine on throwaway overlays, gone with this WebSocket. Text frames are JSON: a notice with its name comes first, then the client ' +
      'sends `{source, ttlMs}`, or `{from, ttlMs}` for a copy of a saved machine, then further notices come. After `ready` binary frames go both ways, to and from the runner in the guest ' +
      '(docs/throwaway.md).',
  },
} as const;
