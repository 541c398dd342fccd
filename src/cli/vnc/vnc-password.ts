/** VNC authentication (RFC 6143, 7.2.2): what a viewer answers that knows the password. */
import { createCipheriv, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

export const challengeBytes = 16;
/** All that the protocol takes of a password. */
const passwordLength = 8;
/** None that is read as another. */
const letters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

export const makeChallenge = (): Buffer => randomBytes(challengeBytes);

/** 46 bits: for one use, with few attempts. */
export function makePassword(): string {
  return Array.from({ length: passwordLength }, () => letters[randomInt(letters.length)] ?? '').join('');
}

/** The bits of each byte of the key in the other order, as VNC has it. */
const mirrored = (byte: number): number =>
  Number.parseInt(byte.toString(2).padStart(8, '0').split('').reverse().join(''), 2);

/** DES by triple DES with one key three times: single DES is not in every library any more. */
export function responseTo(challenge: Uint8Array, password: string): Buffer {
  const key = Buffer.alloc(passwordLength);
  key.write(password.slice(0, passwordLength), 'latin1');
  const single = key.map(mirrored);
  const cipher = createCipheriv('des-ede3', Buffer.concat([single, single, single]), null).setAutoPadding(
    false,
  );
  return Buffer.concat([cipher.update(challenge), cipher.final()]);
}

export function knowsPassword(response: Uint8Array, challenge: Uint8Array, password: string): boolean {
  const right = responseTo(challenge, password);
  return response.length === right.length && timingSafeEqual(response, right);
}
