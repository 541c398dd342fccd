/** Commands in the shell that the demo guest has on its console. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Instance } from './instance.ts';

/** What the command prints, without the carriage returns of the terminal. The guest's shell must be up. */
export async function guestRuns(
  { client }: Pick<Instance, 'client'>,
  machine: string,
  command: string,
  limitMs = 60_000,
): Promise<string> {
  const reply = await client.console({ name: machine, mode: 'write', steal: true, replay: false });
  assert.ok(reply.ok, JSON.stringify(reply));
  const mark = randomBytes(6).toString('hex');
  const timer = setTimeout(() => reply.result.close(), limitMs);
  // What is typed is echoed: the marks are whole in the output alone.
  const line = Buffer.from(`echo B''${mark}; ${command}; echo E''${mark}\n`);
  const begun = new RegExp(`B${mark}\r?\n`);
  let text = '';
  // A shell that asks the terminal where its cursor is takes what is typed then for the answer.
  const again = setInterval(() => {
    if (!begun.test(text)) reply.result.write(line);
  }, 5_000);
  try {
    reply.result.write(line);
    for await (const message of reply.result) {
      if (message.kind === 'output') text += Buffer.from(message.bytes).toString('latin1');
      const found = new RegExp(`B${mark}\r?\n([\\s\\S]*?)E${mark}`).exec(text);
      if (found !== null) return (found[1] ?? '').replaceAll('\r', '').trimEnd();
    }
  } finally {
    clearTimeout(timer);
    clearInterval(again);
    reply.result.close();
  }
  throw new Error(`${machine}: "${command}" did not end:\n${text}`);
}
