/** The console on a real terminal (a pseudo-terminal of script(1)): it is given back as it was, whatever happens. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { test } from 'node:test';
import type { WebSocket } from 'ws';
import { startFakeManager } from '../support/fake-manager.ts';

const root = resolve(import.meta.dirname, '../..');
const settings = /speed .*/g;

interface Session {
  readonly child: ChildProcess;
  /** Resolves once this was seen on the screen. */
  readonly seen: (text: string) => Promise<void>;
  readonly screen: () => string;
}

/** A shell on a terminal that shows the terminal's settings before and after `command`. */
function onTerminal(command: string, socketPath: string): Session {
  const line = `stty -g | sed 's/^/speed /'; ${command}; echo "status $?"; stty -g | sed 's/^/speed /'`;
  const env = { ...process.env, QWARD_SOCKET: socketPath, NODE: process.execPath, ROOT: root, TERM: 'xterm' };
  const child = spawn('script', ['-qefc', line, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString();
    for (const check of waiting) check();
  });
  return {
    child,
    screen: () => text,
    seen: (wanted) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!text.includes(wanted)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

const attach = '"$NODE" "$ROOT/src/cli/main.ts" console web';

function assertRestored({ screen }: Session): void {
  const [before, after] = [...screen().matchAll(settings)].map(([line]) => line.trim());
  assert.ok(before !== undefined && before.length > 20);
  assert.equal(after, before);
}

async function withGuest(
  use: (manager: { readonly socketPath: string }, typed: string[]) => Promise<void>,
): Promise<void> {
  const typed: string[] = [];
  const guest = (socket: WebSocket): void => {
    socket.send(Buffer.from('login: \u001b[?1049h\u001b[?25l'));
    socket.on('message', (data: Buffer) => {
      typed.push(data.toString());
      socket.send(Buffer.from(`<${data.toString('hex')}>`));
    });
  };
  await using manager = await startFakeManager({ handlers: {}, streams: { console: guest } });
  await use(manager, typed);
}

test('every key goes to the guest, Ctrl-] detaches, and the terminal is as it was', () =>
  withGuest(async (manager, typed) => {
    const session = onTerminal(attach, manager.socketPath);
    await session.seen('login: ');
    session.child.stdin?.write('\u0003');
    await session.seen('<03>');
    session.child.stdin?.write('x\u001dlost');
    await once(session.child, 'close');
    assert.deepEqual(typed, ['\u0003', 'x']);
    assert.match(session.screen(), /Detached from web; it goes on\.\r\nstatus 0/);
    // The alternate screen is left, the cursor is shown, and long lines go on in the next.
    assert.match(session.screen(), /\u001b\[\?1049l.*\u001b\[\?25h.*\u001b\[\?7h/);
    assertRestored(session);
  }));

test('a signal that ends the program gives the terminal back first', () =>
  withGuest(async (manager) => {
    const session = onTerminal(`sh -c 'echo "pid $$"; exec ${attach}'`, manager.socketPath);
    await session.seen('login: ');
    process.kill(Number(/pid (\d+)/.exec(session.screen())?.[1]), 'SIGTERM');
    await once(session.child, 'close');
    assert.match(session.screen(), /status 143/);
    assertRestored(session);
  }));
