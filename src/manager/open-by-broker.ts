/** A file that the broker opens: its answer brings a descriptor, which no socket of Node's takes. */
import { closeSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { errorCode } from '../linux/errno.ts';
import { receiveDescriptor } from '../linux/receive-descriptor.ts';
import { connectUnixSocket } from '../linux/unix-socket.ts';
import type { FileIdentity } from '../protocol/broker.ts';
import { FrameReader } from '../protocol/frame.ts';
import { connectBroker, hint, parseReply, type BrokerClientOptions } from './broker-connection.ts';
import type { OpenedFile } from './broker-port.ts';
import { failure, success, type Outcome } from './outcome.ts';

/** An identity, or refusals: short. */
const maxReplyBytes = 64 * 1024;
const pollMs = 2;

export async function openFile(options: BrokerClientOptions, frame: Buffer): Promise<Outcome<OpenedFile>> {
  const connected = await connectBroker(options, connectOnce);
  if (!connected.ok) return connected;
  const { fd } = connected.value;
  try {
    writeSync(fd, frame);
    return await readAnswer(fd, performance.now() + options.deadlineMs.open);
  } catch (error) {
    return unreachable(`it did not finish the request: ${error instanceof Error ? error.message : 'failed'}`);
  } finally {
    closeSync(fd);
  }
}

const unreachable = (why: string): ReturnType<typeof failure> =>
  failure('broker-unreachable', `the broker: ${why}`, hint);

function connectOnce(path: string): { readonly fd: number } | string {
  const attempt = connectUnixSocket(path);
  return 'fd' in attempt ? attempt : attempt.code;
}

/** The descriptor is closed here, unless it is given back. */
async function readAnswer(fd: number, giveUpAt: number): Promise<Outcome<OpenedFile>> {
  const reader = new FrameReader(maxReplyBytes);
  let descriptor: number | undefined;
  try {
    for (;;) {
      const received = receiveDescriptor(fd, 4096);
      if (received === undefined) {
        if (performance.now() >= giveUpAt)
          return failure('timed-out', 'the broker did not answer in time', hint);
        // A descriptor of the kernel's is not told of by Node: nothing else waits for it.
        await wait(pollMs);
        continue;
      }
      descriptor ??= received.descriptor;
      if (received.bytes.length === 0) return unreachable('it closed the connection');
      const body = reader.push(received.bytes);
      if (body === undefined) continue;
      const reply = parseReply<FileIdentity>('open', body);
      if (!reply.ok) return reply;
      if (descriptor === undefined) return unreachable('its answer came without a descriptor');
      const opened = { ...reply.value, descriptor };
      descriptor = undefined;
      return success(opened);
    }
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return unreachable(errorCode(error));
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
