/** A QMP peer on a Unix socket that behaves as a test wants, to the point of breaking every rule of the protocol. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Server, type Socket, createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What the server does on each connection; it may return at any time, and errors of the socket end it quietly. */
export type Behaviour = (peer: HostilePeer) => Promise<void>;

export const greeting =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n';

export class HostileQmpServer implements AsyncDisposable {
  readonly path: string;
  readonly #server: Server;
  readonly #directory: string;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, directory: string, behaviour: Behaviour) {
    this.#server = server;
    this.#directory = directory;
    this.path = join(directory, 'qmp');
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      void behaviour(new HostilePeer(socket));
    });
  }

  static async listen(behaviour: Behaviour): Promise<HostileQmpServer> {
    const directory = await mkdtemp(join(tmpdir(), 'qward-qmp-'));
    const server = new HostileQmpServer(createServer(), directory, behaviour);
    server.#server.listen(server.path);
    await once(server.#server, 'listening');
    return server;
  }

  async connect(): Promise<Socket> {
    const socket = createConnection(this.path);
    await once(socket, 'connect');
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
    await rm(this.#directory, { recursive: true });
  }
}

/** The server's end of one connection. */
export class HostilePeer {
  readonly socket: Socket;
  #received = '';
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('utf8');
      this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
  }

  get open(): boolean {
    return !this.socket.destroyed;
  }

  /** Resolves when the kernel has the bytes, or the connection is over. */
  async send(bytes: string | Buffer): Promise<void> {
    if (this.open) await new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** Each byte in a write of its own. */
  async sendByteByByte(text: string): Promise<void> {
    for (const byte of Buffer.from(text, 'utf8')) {
      await this.send(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Sends `bytes` again and again until the other side has had enough; how many the kernel took. */
  async flood(bytes: Buffer): Promise<number> {
    for (let sent = 0; ; sent += bytes.length) {
      await this.send(bytes);
      if (!this.open) return sent;
    }
  }

  /** The id of the next command; undefined once the connection is over. */
  async nextId(): Promise<string | undefined> {
    for (;;) {
      const match = /"id":"(\d+)"\}/.exec(this.#received);
      if (match !== null) {
        this.#received = this.#received.slice(match.index + match[0].length);
        return match[1];
      }
      if (!this.open) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async reply(id: string | undefined, value: unknown = {}): Promise<void> {
    await this.send(`${JSON.stringify({ return: value, id })}\r\n`);
  }

  /** Greets and accepts the capabilities, as QEMU does. */
  async begin(): Promise<void> {
    await this.send(greeting);
    await this.reply(await this.nextId());
  }
}

/** A well-behaved QEMU that answers every command with an empty object. */
export async function behaveWell(peer: HostilePeer): Promise<void> {
  await peer.begin();
  for (;;) {
    const id = await peer.nextId();
    if (id === undefined) return;
    await peer.reply(id);
  }
}
