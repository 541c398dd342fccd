/** The broker over its socket: a connection a request, framed as protocol/frame.ts says. */
import { connect, type Socket } from 'node:net';
import type { BrokerCall } from '../protocol/broker.ts';
import { protocolVersion } from '../protocol/broker.ts';
import { encodeFrame, FrameReader, maxReplyBytes } from '../protocol/frame.ts';
import { connectBroker, hint, parseReply, type BrokerClientOptions } from './broker-connection.ts';
import type { BrokerPort, BrokerResults, RequestOf } from './broker-port.ts';
import { openFile } from './open-by-broker.ts';
import { failure, success, type Outcome } from './outcome.ts';

export const defaultDeadlinesMs: Readonly<Record<BrokerCall, number>> = {
  launch: 30_000,
  kill: 30_000,
  reap: 30_000,
  inspect: 10_000,
  'inspect-pid': 10_000,
  probe: 15_000,
  open: 15_000,
  status: 10_000,
  history: 10_000,
  forget: 10_000,
  'autostart-off': 10_000,
  pin: 10_000,
  rename: 10_000,
  part: 15_000,
  'list-directory': 15_000,
};

export function createBrokerClient(options: BrokerClientOptions): BrokerPort {
  return {
    call: async <Call extends BrokerCall>(call: Call, request: RequestOf<Call>) => {
      const connected = await connectBroker(options, connectOnce);
      if (!connected.ok) return connected;
      const frame = encodeFrame({ v: protocolVersion, call, ...request });
      const reply = await exchange(connected.value, frame, options.deadlineMs[call]);
      return reply.ok ? parseReply<BrokerResults[Call]>(call, reply.value) : reply;
    },
    open: (request) => openFile(options, encodeFrame({ v: protocolVersion, call: 'open', ...request })),
  };
}

function connectOnce(path: string): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => {
      resolve(error.message);
    });
  });
}

function exchange(socket: Socket, frame: Buffer, deadlineMs: number): Promise<Outcome<Buffer>> {
  return new Promise((resolve) => {
    const reader = new FrameReader(maxReplyBytes);
    const settle = (outcome: Outcome<Buffer>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const broken = (reason: string): void => {
      settle(failure('broker-unreachable', `the broker did not finish the request: ${reason}`, hint));
    };
    const timer = setTimeout(() => {
      settle(failure('timed-out', `the broker did not answer within ${deadlineMs / 1000} s`, hint));
    }, deadlineMs);
    socket.on('data', (piece: Buffer) => {
      try {
        const body = reader.push(piece);
        if (body !== undefined) settle(success(body));
      } catch (error) {
        broken(error instanceof Error ? error.message : String(error));
      }
    });
    socket.on('error', (error) => {
      broken(error.message);
    });
    socket.on('close', () => {
      broken('the connection closed');
    });
    socket.write(frame);
  });
}
