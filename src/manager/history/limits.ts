/** How much of the history is kept; docs/roles.md says it to people. */
import type { HistoryLimits } from './database.ts';

const dayMs = 86_400_000;

export const historyLimits: HistoryLimits = { entries: 100_000, actions: 50_000, ageMs: 400 * dayMs };
