/** As much of a VNC viewer as tests need: RFB 3.8 (RFC 6143), with or without a password, raw rectangles. */
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';

export interface Screen {
  readonly width: number;
  readonly height: number;
  /** Bytes of pixels that are not zero. */
  readonly lit: number;
}

export class RfbViewer implements Disposable {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  width = 0;
  height = 0;
  securityTypes: readonly number[] = [];
  #unread = Buffer.alloc(0);
  #wake = (): void => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, piece]);
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        resolve();
        this.#wake();
      });
    });
  }

  /** `vnc://127.0.0.1:PORT`, or the path of a Unix socket. */
  static async open(address: string, password?: string): Promise<RfbViewer> {
    const port = /^vnc:\/\/127\.0\.0\.1:(\d+)$/.exec(address)?.[1];
    const socket = port === undefined ? connect(address) : connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    const viewer = new RfbViewer(socket);
    await viewer.#shakeHands(password);
    return viewer;
  }

  async screen(): Promise<Screen> {
    // SetEncodings: raw alone. FramebufferUpdateRequest: all of it, now.
    const encodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
    this.socket.write(Buffer.concat([encodings, this.wholeScreen()]));
    for (;;) {
      const [kind = -1] = await this.read(1);
      if (kind === 2) continue;
      if (kind !== 0) throw new Error(`a message of type ${kind}`);
      const rectangles = (await this.read(3)).readUInt16BE(1);
      let lit = 0;
      for (let left = rectangles; left > 0; left -= 1) {
        const head = await this.read(12);
        const pixels = await this.read(head.readUInt16BE(4) * head.readUInt16BE(6) * 4);
        lit += pixels.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0);
      }
      return { width: this.width, height: this.height, lit };
    }
  }

  wholeScreen(): Buffer {
    const request = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    request.writeUInt16BE(this.width, 6);
    request.writeUInt16BE(this.height, 8);
    return request;
  }

  /** Presses all of them, then lets go. Keysyms of X11. */
  press(...keys: readonly number[]): void {
    const event = (key: number, down: number): Buffer => {
      const message = Buffer.from([4, down, 0, 0, 0, 0, 0, 0]);
      message.writeUInt32BE(key, 4);
      return message;
    };
    for (const key of keys) this.socket.write(event(key, 1));
    for (const key of keys.toReversed()) this.socket.write(event(key, 0));
  }

  async read(count: number): Promise<Buffer> {
    while (this.#unread.length < count) {
      if (this.socket.destroyed) throw new Error(`closed after ${this.#unread.length} of ${count} bytes`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const bytes = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(count);
    return bytes;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  async #shakeHands(password: string | undefined): Promise<void> {
    const greeting = (await this.read(12)).toString('latin1');
    if (greeting !== 'RFB 003.008\n') throw new Error(`no RFB: ${JSON.stringify(greeting)}`);
    this.socket.write(greeting);
    const [count = 0] = await this.read(1);
    this.securityTypes = [...(await this.read(count))];
    this.socket.write(Buffer.from([password === undefined ? 1 : 2]));
    if (password !== undefined) this.socket.write(encrypted(await this.read(16), password));
    const result = (await this.read(4)).readUInt32BE();
    if (result !== 0) throw new Error(`refused with ${result}`);
    // Others may look too.
    this.socket.write(Buffer.from([1]));
    const init = await this.read(24);
    this.width = init.readUInt16BE(0);
    this.height = init.readUInt16BE(2);
    await this.read(init.readUInt32BE(20));
  }
}

/** Single DES by the openssl program, so that another than ours says what is right. */
function encrypted(challenge: Buffer, password: string): Buffer {
  const key = Buffer.alloc(8);
  key.write(password, 'latin1');
  let hex = '';
  for (const byte of key) {
    let mirrored = 0;
    for (let bit = 0; bit < 8; bit += 1) if ((byte >> bit) & 1) mirrored |= 0x80 >> bit;
    hex += mirrored.toString(16).padStart(2, '0');
  }
  const words = ['enc', '-des-ecb', '-provider', 'legacy', '-provider', 'default', '-nopad', '-K', hex];
  return execFileSync('openssl', words, { input: challenge });
}
