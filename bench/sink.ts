/** Takes what guests pour into a TCP port of the host, and says how fast it came. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const windowMs = 3_000;
/** Until TCP has found its pace. */
const settleMs = 500;
const connectsWithinMs = 120_000;
const mib = 1024 ** 2;

/** Takes what a guest sends, when it is asked to. */
export interface Sink {
  readonly read: (pids: readonly number[]) => Promise<Rate>;
}

export interface Rate {
  /** MiB for each second. */
  readonly wall: number;
  /** MiB for each second of CPU time that QEMU and passt took: what other programs of the host do is not in it. */
  readonly cpu: number;
}

/** Seconds of CPU time, of the whole process (proc_pid_stat(5), with 100 ticks a second). */
const cpuSeconds = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);

/** A guest connects again and again, and is cut off at once but when it is read from: one that waits would take long to begin again. */
export async function listenAt(address: string, port: number): Promise<Sink> {
  let take: ((socket: Socket) => void) | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (take === undefined) socket.resetAndDestroy();
    else take(socket);
    take = undefined;
  });
  server.listen(port, address);
  await once(server, 'listening');
  server.unref();
  return {
    read: async (pids) => {
      const { promise, resolve, reject } = Promise.withResolvers<Socket>();
      take = resolve;
      const late = setTimeout(
        () => reject(new Error(`no guest sends to ${address}:${port}`)),
        connectsWithinMs,
      );
      const socket = await promise.finally(() => clearTimeout(late));
      let bytes = 0;
      socket.on('data', (piece: Buffer) => void (bytes += piece.length));
      await delay(settleMs);
      const [before, began, spent] = [bytes, performance.now(), cpuSeconds(pids)];
      await delay(windowMs);
      const sent = (bytes - before) / mib;
      const rate = {
        wall: sent / ((performance.now() - began) / 1000),
        cpu: sent / (cpuSeconds(pids) - spent),
      };
      socket.resetAndDestroy();
      return rate;
    },
  };
}
