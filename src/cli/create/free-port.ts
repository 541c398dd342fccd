/** A port of loopback that nothing listens on now, and that the kernel gives to nobody by itself. */
import { createServer } from 'node:net';
import { createHash } from 'node:crypto';

/** Below the usual range for outgoing connections, which begins at 32768. */
const firstPort = 22_000;
const ports = 8000;
const attempts = 50;

/** From a place that the name says, so that machines seldom want the same while they are stopped. */
export async function freePort(name: string): Promise<number | undefined> {
  const start = createHash('sha256').update(name).digest().readUInt32BE(0) % ports;
  for (let at = 0; at < attempts; at += 1) {
    const port = firstPort + ((start + at) % ports);
    if (await isFree(port)) return port;
  }
  return undefined;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
