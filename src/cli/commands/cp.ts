import { basename, join } from 'node:path';
import { statSync } from 'node:fs';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { formatBytes } from '../render/sizes.ts';
import { done, failed, usage } from '../results.ts';

interface GuestPlace {
  readonly name: string;
  readonly path: string;
}

/** `web:/etc/hosts`; a path of this host that looks so is written with "./" before it. */
function parseGuestPlace(word: string): GuestPlace | undefined {
  const [, name, path] = /^([a-z][a-z0-9-]{0,62}):(.+)$/s.exec(word) ?? [];
  return name === undefined || path === undefined ? undefined : { name, path };
}

const isDirectory = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

interface Order {
  readonly guest: GuestPlace;
  readonly file: string;
  readonly force: boolean;
}

async function upload(context: Context, { guest: { name, path }, file }: Order): Promise<CommandResult> {
  const { sendFile } = await import('../guest/send-file.ts');
  const target = path.endsWith('/') ? `${path}${basename(file)}` : path;
  const moved = await sendFile({ context, name, path: target, file });
  return moved.ok
    ? done(
        { name, path: target, bytes: moved.bytes },
        () => `${name}:${target}: ${formatBytes(moved.bytes)}\n`,
      )
    : failed(moved.faults);
}

async function download(
  context: Context,
  { guest: { name, path }, file, force }: Order,
): Promise<CommandResult> {
  const { receiveFile } = await import('../guest/receive-file.ts');
  const target = isDirectory(file) ? join(file, basename(path)) : file;
  const moved = await receiveFile({ context, name, path, file: target, force });
  return moved.ok
    ? done({ file: target, bytes: moved.bytes }, () => `${target}: ${formatBytes(moved.bytes)}\n`)
    : failed(moved.faults);
}

export const cp = defineCommand({
  name: 'cp',
  summary: 'Copy a file into a guest or out of it, by its agent.',
  details:
    'One of FROM and TO is NAME:PATH, a file of the guest of that machine. Files alone are copied; a directory goes as an archive\n' +
    '(qward exec NAME tar …). In the guest the file is written in place, with the rights of the agent, which is root mostly; here one\n' +
    'that is there already is kept, but for --force. Needs the right "guest", and what qward exec needs.',
  arguments: {
    FROM: { help: 'The file, FILE or NAME:PATH.', complete: 'file' },
    TO: { help: 'Where it goes, NAME:PATH or FILE; a directory keeps its name.', complete: 'file' },
  },
  options: { force: { kind: 'flag', short: 'f', help: 'Replace a file of this host.' } },
  examples: [
    { line: 'qward cp app.conf web:/etc/app.conf', meaning: 'into the guest' },
    { line: 'qward cp web:/var/log/syslog .', meaning: 'out of it' },
  ],
  async run(context, { arguments: { FROM: from, TO: to }, options: { force } }) {
    const [source, target] = [parseGuestPlace(from), parseGuestPlace(to)];
    if (source === undefined && target !== undefined)
      return await upload(context, { guest: target, file: from, force });
    if (source !== undefined && target === undefined)
      return await download(context, { guest: source, file: to, force });
    return usage(
      `cp: one of "${from}" and "${to}" must be in a guest, as NAME:PATH`,
      source === undefined
        ? 'for example: qward cp notes.txt web:/tmp/'
        : 'from one guest to another: copy it here first',
    );
  },
});
