/** Files of version 1 that the manager keeps of moves, one each. */
import { readdir, readFile } from 'node:fs/promises';
import type * as z from 'zod';
import { makeDirectory } from '../store/atomic-file.ts';
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

/** Of each file with such a name: the name, the path, and what it holds or what is wrong with it, as a string. */
export async function* readNotes<Note>(
  directory: string,
  named: RegExp,
  parse: (name: string, text: string) => Note | string,
): AsyncGenerator<{ readonly name: string; readonly path: string; readonly read: Note | string }, void> {
  await makeDirectory(directory);
  for (const file of await readdir(directory)) {
    const name = named.exec(file)?.[1];
    if (name === undefined) continue;
    const path = `${directory}/${file}`;
    const read = await readFile(path, 'utf8').then(
      (text) => parse(name, text),
      (error: unknown) => `it cannot be read: ${String(error)}`,
    );
    yield { name, path, read };
  }
}
