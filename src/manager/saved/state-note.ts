/**
 * What is kept beside the memory of a saved machine, state.json of version 1: what it was, what its files were, and by
 * which sum the memory is known.
 */
import * as z from 'zod';
import { newerThan, type NewerFile } from '../store/newer.ts';

const fileMark = z.strictObject({
  size: z.int().min(0),
  modifiedMs: z.number().nullable(),
});

const stateNote = z.strictObject({
  version: z.literal(1),
  machine: z.string().max(63),
  /** ISO 8601. */
  savedAt: z.string().max(40),
  /** Who had it saved. */
  by: z.string().max(512),
  /** Whether the guest was paused before, and stays so. */
  paused: z.boolean(),
  /** The launch of the process that it was taken from. */
  launchedAt: z.string().max(40),
  /** As the greeting said. */
  qemu: z.strictObject({ major: z.int(), minor: z.int(), micro: z.int() }),
  /** What that QEMU was started with, as a plan of the same moment has it. */
  argv: z.array(z.string()).max(4096),
  /** The definition as it counted for that process, every default written out; JSON, which is YAML. */
  definition: z.string().max(1024 * 1024),
  revision: z.string().max(64).nullable(),
  /** Each file of the machine when all was saved, by path. */
  files: z.record(z.string(), fileMark),
  memory: z.strictObject({
    /** Name of the file beside this one. */
    file: z.string().regex(/^memory-[0-9a-f]{16}\.zst$/),
    /** Of that file. */
    bytes: z.int().min(0),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    /** What QEMU wrote, bytes. */
    plainBytes: z.int().min(0),
  }),
});
export type StateNote = Readonly<z.output<typeof stateNote>>;

export type ParsedState =
  | { readonly ok: true; readonly note: StateNote }
  | { readonly ok: false; readonly reason: string; readonly newer?: NewerFile; readonly reverting?: string };

export function parseStateNote(text: string): ParsedState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'it is not JSON' };
  }
  const newer = newerThan(Reflect.get(Object(value), 'version'), 1);
  if (newer !== undefined) return { ok: false, reason: newer.reason, newer };
  const reverting: unknown = Reflect.get(Object(value), 'reverting');
  if (typeof reverting === 'string')
    return {
      ok: false,
      reason: `going back to snapshot "${reverting.slice(0, 63)}" was interrupted: revert again`,
      reverting: reverting.slice(0, 63),
    };
  const parsed = stateNote.safeParse(value);
  if (parsed.success) return { ok: true, note: parsed.data };
  const [issue] = parsed.error.issues;
  return { ok: false, reason: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'out of form'}` };
}
