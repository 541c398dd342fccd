/** A QMP server in the test's own process, in the place of QEMU: it answers the commands that the manager gives. */
import { createServer, type Server, type Socket } from 'node:net';

export interface MonitorPeerHooks {
  /** The power button: what the guest does about it. */
  readonly onPowerdown: () => void;
}

/** As QEMU 7.2 tells of a virtio disk of the id `root`. */
const drive = {
  device: '',
  qdev: '/machine/peripheral/root/virtio-backend',
  inserted: { 'node-name': 'root', ro: false },
};

type Reply = Readonly<Record<string, unknown>>;

export class MonitorPeer {
  /** Commands in the order in which they came, `qmp_capabilities` left out. */
  readonly received: { readonly execute: string; readonly arguments: unknown }[] = [];
  /** Answers nothing while true; what comes is remembered. */
  silent = false;
  running = false;
  /** Of a guest that does not run. */
  status: 'paused' | 'prelaunch' = 'paused';
  readonly #hooks: MonitorPeerHooks;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(path: string, hooks: MonitorPeerHooks) {
    this.#hooks = hooks;
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
    this.#server.listen(path);
  }

  emit(event: string, data: Reply = {}): void {
    this.#send({ event, data, timestamp: { seconds: 1, microseconds: 0 } });
  }

  /** Closes the connections that there are, as QEMU does when it ends. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.hangUp();
    this.#server.close();
  }

  commandNames(): string[] {
    return this.received.map(({ execute }) => execute);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    if (!this.silent)
      this.#send({
        QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: [] },
      });
    let rest = '';
    socket.on('data', (piece: Buffer) => {
      const { objects, left } = splitObjects(rest + piece.toString());
      rest = left;
      for (const object of objects) this.#answer(JSON.parse(object));
    });
  }

  #answer(command: { id: unknown; execute: string; arguments?: unknown }): void {
    if (command.execute !== 'qmp_capabilities')
      this.received.push({ execute: command.execute, arguments: command.arguments });
    if (this.silent) return;
    this.#send({ ...this.#reply(command.execute), id: command.id });
    this.#after(command.execute);
  }

  #reply(execute: string): Reply {
    if (execute === 'query-status')
      return { return: { status: this.running ? 'running' : this.status, running: this.running } };
    if (execute === 'query-block') return { return: [drive] };
    if (execute === 'human-monitor-command') return { return: 'VM status: running\r\n' };
    if (execute === 'wrong') return { error: { class: 'CommandNotFound', desc: 'there is no such command' } };
    return { return: {} };
  }

  #after(execute: string): void {
    if (execute === 'cont') this.running = true;
    if (execute === 'cont') this.emit('RESUME');
    if (execute === 'stop') this.running = false;
    if (execute === 'stop') this.emit('STOP');
    if (execute === 'system_reset') this.emit('RESET', { guest: false, reason: 'host-qmp-system-reset' });
    if (execute === 'system_powerdown') this.#hooks.onPowerdown();
  }

  #send(message: Reply): void {
    for (const socket of this.#sockets) socket.write(`${JSON.stringify(message)}\n`);
  }
}

/** Like QEMU's, this reader needs no line ends: an object is over with its last brace. */
function splitObjects(text: string): { readonly objects: string[]; readonly left: string } {
  const objects: string[] = [];
  let [begin, depth, quoted] = [0, 0, false];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (quoted && character === '\\') at += 1;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && character === '{') depth += 1;
    else if (!quoted && character === '}') {
      depth -= 1;
      if (depth > 0) continue;
      objects.push(text.slice(begin, at + 1));
      begin = at + 1;
    }
  }
  return { objects, left: text.slice(begin) };
}
