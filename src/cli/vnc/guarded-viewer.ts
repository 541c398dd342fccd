/**
 * A viewer from anywhere, let in by a password: the handshake of RFB 3.7 and 3.8 (RFC 6143, 7.1) with VNC authentication towards the
 * viewer, and without any towards QEMU, which listens nowhere. From ClientInit on the bytes go through as they are.
 */
import type { Socket } from 'node:net';
import type { VncMessage, VncStream } from '../../api/vnc-stream.ts';
import { challengeBytes, knowsPassword, makeChallenge } from './vnc-password.ts';

const versionBytes = 12;
const newest = 'RFB 003.008\n';
const older = 'RFB 003.007\n';
const securityNone = 1;
const securityVnc = 2;
/** For the whole of a handshake, milliseconds: a person may have to type the password. */
const handshakeMs = 60_000;

/** in: it knows the password. wrong: it does not. gone: it went, was too slow, or speaks something else. */
export type Admission = 'in' | 'wrong' | 'gone';

/** SECURITY: rule HTTP. Whoever connects has one handshake, bounded in time and bytes, and hears of no machine before. */
export async function admitViewer(viewer: Socket, password: string): Promise<Admission> {
  const late = setTimeout(() => viewer.destroy(), handshakeMs);
  try {
    viewer.write(newest);
    const version = (await readBytes(viewer, versionBytes))?.toString('latin1');
    if (version !== newest && version !== older) return 'gone';
    viewer.write(Buffer.from([1, securityVnc]));
    const chosen = await readBytes(viewer, 1);
    if (chosen?.[0] !== securityVnc) return 'gone';
    const challenge = makeChallenge();
    viewer.write(challenge);
    const response = await readBytes(viewer, challengeBytes);
    if (response === undefined) return 'gone';
    if (knowsPassword(response, challenge, password)) {
      viewer.write(Buffer.from([0, 0, 0, 0]));
      return 'in';
    }
    const reason = Buffer.from('wrong password');
    const refusal = [Buffer.from([0, 0, 0, 1]), Buffer.from([0, 0, 0, reason.length]), reason];
    viewer.end(Buffer.concat(version === newest ? refusal : refusal.slice(0, 1)));
    return 'wrong';
  } finally {
    clearTimeout(late);
  }
}

/** Of a socket that nobody reads otherwise; what follows stays in it. Undefined: it ended before. */
async function readBytes(socket: Socket, count: number): Promise<Buffer | undefined> {
  for (;;) {
    const bytes: unknown = socket.read(count);
    if (Buffer.isBuffer(bytes)) return bytes.length === count ? bytes : undefined;
    if (socket.destroyed || socket.readableEnded) return undefined;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        for (const event of ['readable', 'end', 'close'] as const) socket.off(event, wake);
        resolve();
      };
      for (const event of ['readable', 'end', 'close'] as const) socket.on(event, wake);
    });
  }
}

/** The screen from behind QEMU's part of the handshake; undefined where QEMU goes, or does not say what it says. */
export async function behindHandshake(screen: VncStream): Promise<VncStream | undefined> {
  const messages = screen[Symbol.asyncIterator]();
  let unread = Buffer.alloc(0);
  const read = async (count: number): Promise<Buffer | undefined> => {
    while (unread.length < count) {
      const next = await messages.next();
      if (next.done === true || next.value.kind !== 'screen') return undefined;
      unread = Buffer.concat([unread, next.value.bytes]);
    }
    const bytes = unread.subarray(0, count);
    unread = unread.subarray(count);
    return bytes;
  };
  if ((await read(versionBytes))?.toString('latin1') !== newest) return undefined;
  await screen.write(Buffer.from(newest));
  const count = (await read(1))?.[0] ?? 0;
  const types = await read(count);
  if (types?.includes(securityNone) !== true) return undefined;
  await screen.write(Buffer.from([securityNone]));
  if ((await read(4))?.readUInt32BE(0) !== 0) return undefined;
  return {
    async *[Symbol.asyncIterator](): AsyncGenerator<VncMessage> {
      if (unread.length > 0) yield { kind: 'screen', bytes: unread };
      for (let next = await messages.next(); next.done !== true; next = await messages.next())
        yield next.value;
    },
    write: (bytes) => screen.write(bytes),
    close: () => screen.close(),
  };
}
