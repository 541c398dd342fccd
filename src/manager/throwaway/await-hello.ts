/** The first words of the runner in a guest: before them nothing that comes out of the port is taken for anything. */
import type { Socket } from 'node:net';

export type Hello =
  | { readonly ok: true; readonly rest: Buffer }
  /** Undefined: the machine's end tells why. */
  | { readonly ok: false; readonly message: string | undefined };

/** A frame of type H, of command 0, with these words. */
const words = 'qward-runner 1';
const hello = Buffer.concat([Buffer.from('H\0\0\0\0\0\0\0'), Buffer.of(words.length), Buffer.from(words)]);

/** However long the guest takes to come up; the end of the socket ends it. */
export function awaitHello(guest: Socket): Promise<Hello> {
  return new Promise((resolve) => {
    let heard = Buffer.alloc(0);
    const settle = (outcome: Hello): void => {
      guest.off('data', hear);
      guest.off('close', close);
      guest.pause();
      resolve(outcome);
    };
    const hear = (piece: Buffer): void => {
      heard = Buffer.concat([heard, piece]);
      // SECURITY: rule guest. Whatever speaks there says these words first, or is not listened to.
      if (!hello.subarray(0, heard.length).equals(heard.subarray(0, hello.length)))
        settle({ ok: false, message: 'something else than the runner spoke on the port of the guest' });
      else if (heard.length >= hello.length) settle({ ok: true, rest: heard.subarray(hello.length) });
    };
    const close = (): void => settle({ ok: false, message: undefined });
    guest.on('data', hear);
    guest.once('close', close);
  });
}
