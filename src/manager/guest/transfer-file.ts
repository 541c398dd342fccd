/**
 * A file of the guest, read or written by its agent for a client at a WebSocket: the file in binary frames, notices in text. A
 * client that writes ends the file with an empty frame.
 */
import type { WebSocket } from 'ws';
import type { FileNotice } from '../../api/stream-messages.ts';
import { agentChunkBytes, agentCommands } from '../../qmp/agent-commands.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import type { Agent } from '../lifecycle/agent.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { success, type Outcome } from '../outcome.ts';
import { agentOf } from './agent-of.ts';

export interface GuestFile {
  readonly path: string;
  readonly direction: 'read' | 'write';
}

/** What a client may send before the agent has taken it; beyond it nothing more is read from the client. */
const maxWaitingBytes = 8 * agentChunkBytes;
const [normal, failed] = [1000, 1011];

export function openGuestFile(machine: Machine, file: GuestFile): Outcome<(socket: WebSocket) => void> {
  const agent = agentOf(machine);
  return agent.ok ? success((socket) => void transfer(agent.value, file, socket)) : agent;
}

async function transfer(agent: Agent, { path, direction }: GuestFile, socket: WebSocket): Promise<void> {
  const inbox = direction === 'write' ? new Inbox(socket) : undefined;
  const opened = await agentCommands.fileOpen(agent, { path, mode: direction === 'read' ? 'r' : 'w' });
  if (!opened.ok) {
    end(socket, { notice: 'failed', bytes: 0, message: `${path}: ${opened.message}` });
    return;
  }
  const handle = opened.value;
  const moved =
    inbox === undefined ? await send(agent, handle, socket) : await receive(agent, handle, { socket, inbox });
  // What the agent still keeps of a file is written when it is closed.
  const closed = await agentCommands.fileClose(agent, { handle });
  const fault = moved.message ?? (closed.ok ? undefined : closed.message);
  if (fault === undefined) end(socket, { notice: 'done', bytes: moved.bytes, message: '' });
  else end(socket, { notice: 'failed', bytes: moved.bytes, message: `${path}: ${fault}` });
}

interface Moved {
  readonly bytes: number;
  /** Why it is not the whole file. */
  readonly message?: string;
}

const isOpen = (socket: WebSocket): boolean => socket.readyState === socket.OPEN;

async function send(agent: Agent, handle: number, socket: WebSocket): Promise<Moved> {
  for (let bytes = 0; isOpen(socket);) {
    const read = await agentCommands.fileRead(agent, { handle });
    if (!read.ok) return { bytes, message: read.message };
    bytes += read.value.bytes.length;
    // SECURITY: rule HTTP. The next part is asked for when this one has left: a client that does not read costs one.
    if (read.value.bytes.length > 0)
      await new Promise<void>((sent) => socket.send(read.value.bytes, { binary: true }, () => sent()));
    if (read.value.eof) return { bytes };
  }
  return { bytes: 0, message: 'the client went away' };
}

async function receive(
  agent: Agent,
  handle: number,
  { socket, inbox }: { readonly socket: WebSocket; readonly inbox: Inbox },
): Promise<Moved> {
  let bytes = 0;
  for (;;) {
    const part = await inbox.next();
    if (part === undefined) return { bytes, message: 'the client went away before the end of the file' };
    if (part.length === 0) return { bytes };
    const written = await writeWhole(agent, handle, part);
    if (!written.ok) return { bytes, message: written.message };
    bytes += part.length;
    tell(socket, { notice: 'progress', bytes, message: '' });
  }
}

async function writeWhole(agent: Agent, handle: number, part: Buffer): Promise<CommandResult<undefined>> {
  for (let at = 0; at < part.length;) {
    const bytes = part.subarray(at, at + agentChunkBytes);
    const written = await agentCommands.fileWrite(agent, { handle, bytes });
    if (!written.ok) return written;
    // SECURITY: rule QMP. An agent that takes nothing, or more than it was given, would keep this going for ever.
    if (written.value === 0 || written.value > bytes.length)
      return { ok: false, code: 'malformed', message: 'the agent does not take the file' };
    at += written.value;
  }
  return { ok: true, value: undefined };
}

/** Frames of a client in their order; a client that sends faster than they are taken waits. */
class Inbox {
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data, isBinary) => {
      if (!isBinary || !Buffer.isBuffer(data)) return;
      this.#parts.push(data);
      this.#bytes += data.length;
      if (this.#bytes > maxWaitingBytes) socket.pause();
      this.#wake?.();
    });
    socket.once('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  /** Undefined: the client has gone. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        this.#bytes -= part.length;
        if (this.#bytes <= maxWaitingBytes / 2 && this.#socket.isPaused) this.#socket.resume();
        return part;
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }
}

function tell(socket: WebSocket, notice: FileNotice): void {
  if (isOpen(socket)) socket.send(JSON.stringify(notice));
}

function end(socket: WebSocket, notice: FileNotice): void {
  tell(socket, notice);
  socket.resume();
  socket.close(notice.notice === 'done' ? normal : failed);
}
