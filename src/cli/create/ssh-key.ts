/** Keys of ssh, made here: one by which a guest proves itself, so that the first connection knows it, and one to log in with where the user has none. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';

export interface SshKey {
  /** `openssh-key-v1`, without a passphrase. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`. */
  readonly publicKey: string;
}

const kind = 'ssh-ed25519';

/** RFC 4251, section 5: length and bytes. */
function text(data: string | Uint8Array): Buffer {
  const bytes = Buffer.from(data);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export function makeSshKey(comment: string): SshKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { x = '', d = '' } = privateKey.export({ format: 'jwk' });
  const [open, secret] = [Buffer.from(x, 'base64url'), Buffer.from(d, 'base64url')];
  const publicBlob = Buffer.concat([text(kind), text(open)]);
  return {
    privateKey: armoured(privateBlob({ open, secret, publicBlob, comment })),
    publicKey: `${kind} ${publicBlob.toString('base64')}`,
  };
}

interface KeyParts {
  readonly open: Buffer;
  readonly secret: Buffer;
  readonly publicBlob: Buffer;
  readonly comment: string;
}

/** OpenSSH's PROTOCOL.key: neither cipher nor key derivation, one key. */
function privateBlob({ open, secret, publicBlob, comment }: KeyParts): Buffer {
  const check = randomBytes(4);
  const plain = Buffer.concat([
    check,
    check,
    text(kind),
    text(open),
    text(Buffer.concat([secret, open])),
    text(comment),
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (plain.length % 8)) % 8 }, (_, at) => at + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  return Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    one,
    text(publicBlob),
    text(Buffer.concat([plain, padding])),
  ]);
}

function armoured(blob: Buffer): string {
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join(
    '\n',
  );
}
