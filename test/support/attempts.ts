/** The program of as-user.ts: reads attempts as JSON, tries each, and prints what became of it. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { syscall } from '../../src/linux/libc.ts';
import type { Attempt } from './as-user.ts';

const SYS_ptrace = 101;
const PTRACE_ATTACH = 16;

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' ? code : String(error);
}

function connectTo(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', (error) => resolve(codeOf(error)));
    // Who is refused after the connection sees it close; one that stays is served.
    socket.once('connect', () => {
      const timer = setTimeout(() => {
        socket.destroy();
        resolve('done');
      }, 300);
      socket.resume();
      socket.once('close', () => {
        clearTimeout(timer);
        resolve('closed');
      });
    });
  });
}

function readMemory(pid: number): void {
  const address = Number.parseInt(readFileSync(`/proc/${pid}/maps`, 'latin1').split('-')[0] ?? '0', 16);
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    readSync(fd, Buffer.alloc(16), 0, 16, address);
  } finally {
    closeSync(fd);
  }
}

async function tryOne(one: Attempt): Promise<string> {
  switch (one.try) {
    case 'read':
      readFileSync(one.path);
      break;
    case 'list':
      readdirSync(one.path);
      break;
    case 'write':
      writeFileSync(one.path, 'x');
      break;
    case 'connect':
      return await connectTo(one.path);
    case 'signal':
      // Signal 0 asks for the permission alone.
      process.kill(one.pid, 0);
      break;
    case 'memory':
      readMemory(one.pid);
      break;
    case 'attach':
      return syscall(SYS_ptrace, [PTRACE_ATTACH, one.pid, 0, 0]) < 0n ? 'EPERM' : 'done';
  }
  return 'done';
}

const results: Record<string, string> = {};
for (const one of JSON.parse(await text(process.stdin)) as Attempt[]) {
  const name = `${one.try} ${'path' in one ? one.path : one.pid}`;
  results[name] = await tryOne(one).catch(codeOf);
}
process.stdout.write(JSON.stringify(results));
