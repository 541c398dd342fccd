/** What a drill needs on the host: the prober outside of any jail, and things of the manager's own for it to reach. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { call } from '../../audit/drill/calls.ts';
import { compileScript } from '../../audit/drill/script.ts';
import type { Sitting } from '../../audit/drill/sitting.ts';
import prober from '../../../resources/drill/prober.json' with { type: 'json' };

export const proberElf = Buffer.from(prober.elf, 'base64');

const deadlineMs = 10_000;
const maxOutputBytes = 1024 * 1024;
const parentDeathSignal = 1;
const kill = 9;
/** Of the process that probes try to reach; longer than any drill. */
const victimLivesMs = 120_000;
/** Descriptors of the prober outside: a file of its own, for reading and for both. */
export const ownFile = { readOnly: 3, writable: 4 } as const;

export interface Outside extends AsyncDisposable {
  /** A process of the manager's user that does nothing. */
  readonly pid: number;
  readonly abstractSocket: string;
  readonly tcpPort: number;
  /** Runs the prober in a directory of its own as the manager's user, and tells what it wrote. */
  readonly run: (argv: readonly string[]) => Promise<Sitting>;
}

/** `directory` is the manager's, is made, and is removed in the end; programs must be allowed to run from it. */
export async function openOutside(directory: string): Promise<Outside> {
  await rm(directory, { recursive: true, force: true });
  const own = `${directory}/own`;
  await mkdir(`${own}/dev`, { recursive: true, mode: 0o700 });
  const program = `${directory}/prober`;
  await writeFile(program, proberElf, { mode: 0o700 });
  await writeFile(`${own}/file`, 'x');
  const abstractSocket = `qward-drill-${randomBytes(8).toString('hex')}`;
  const servers = [await listening(`\0${abstractSocket}`), await listening({ port: 0, host: '127.0.0.1' })];
  const address = servers[1]?.address();
  // It ends with the manager.
  const wait = compileScript([[call('prctl', parentDeathSignal, kill), call('poll', 0, 0, victimLivesMs)]]);
  const victim = spawn(program, wait, { cwd: own, stdio: 'ignore', env: {} });
  const dispose = async (): Promise<void> => {
    await end(victim);
    for (const server of servers) server.close();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await once(victim, 'spawn');
    return {
      pid: victim.pid ?? 0,
      abstractSocket,
      tcpPort: typeof address === 'object' ? (address?.port ?? 0) : 0,
      run: async (argv) => {
        const output = await run(program, own, argv);
        await rm(`${own}/qward-drill`, { force: true });
        await rm(`${own}/dev/qward-drill`, { force: true });
        return { output, memoryLimit: false };
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function listening(where: string | { readonly port: number; readonly host: string }): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen(where);
  await once(server, 'listening');
  return server;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  if (child.kill('SIGKILL')) await gone;
}

async function run(program: string, cwd: string, argv: readonly string[]): Promise<Buffer> {
  const fds = [openSync(`${cwd}/file`, 'r'), openSync(`${cwd}/file`, 'r+')];
  const child = spawn(program, argv, { cwd, stdio: ['ignore', 'pipe', 'ignore', ...fds], env: {} });
  for (const fd of fds) closeSync(fd);
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const pieces: Buffer[] = [];
  let length = 0;
  child.stdout?.on('data', (piece: Buffer) => {
    length += piece.length;
    if (length <= maxOutputBytes) pieces.push(piece);
  });
  await once(child, 'close');
  clearTimeout(timer);
  return Buffer.concat(pieces);
}

/** The first block device of the host; null: it has none. */
export async function firstDisk(): Promise<string | null> {
  const partitions = await readFile('/proc/partitions', 'latin1').catch(() => '');
  const name = /^\s*\d+\s+\d+\s+\d+\s+(\S+)$/m.exec(partitions)?.[1];
  if (name === undefined) return null;
  const found = await stat(`/dev/${name}`).catch(() => undefined);
  return found?.isBlockDevice() === true ? `/dev/${name}` : null;
}
