/** A file of version 1 that the manager keeps of moves. Pure. */
import type * as z from 'zod';
import { newerThan } from '../store/newer.ts';

/** What is wrong with it is a string. */
export function parseNote<Schema extends z.ZodType<object>>(
  schema: Schema,
  text: string,
): z.output<Schema> | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  const newer = newerThan(Reflect.get(Object(value), 'version'), 1);
  if (newer !== undefined) return newer.reason;
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed.data : (parsed.error.issues[0]?.message ?? 'out of form');
}
