/** A port for one viewer that is not this user's: a password that is printed lets it in, and then nothing listens any more. */
import { createServer, type Server, type Socket } from 'node:net';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interruptible.ts';
import { escapeLine } from '../render/escape.ts';
import { failed, printed } from '../results.ts';
import { admitViewer, behindHandshake } from './guarded-viewer.ts';
import type { OthersPlace } from './place-for-others.ts';
import { viewOnce } from './view-once.ts';
import { makePassword } from './vnc-password.ts';

/** SECURITY: promise 4. Guessing ends with the port: five of 2^46 passwords can be tried, four at once. */
const maxWrong = 5;
const maxHandshakes = 4;

export async function serveOthers(
  context: Context,
  name: string,
  place: OthersPlace,
): Promise<CommandResult> {
  const password = makePassword();
  const server = createServer();
  const address = await listen(server, place).catch((error: unknown) => error);
  if (typeof address !== 'string')
    return failed([
      {
        message: `${place.host ?? 'port'} ${place.port} cannot be listened on: ${errnoText(address)}`,
        hint: 'name another: --listen',
      },
    ]);
  if (!context.quiet)
    context.warn(
      'The password is good for one viewer, once. What it sees and types is not encrypted on the way.\n',
    );
  context.print(
    context.json ? `${JSON.stringify({ address, password })}\n` : `${address}\npassword: ${password}\n`,
  );
  return await interruptible(async (signal) => {
    try {
      const viewer = await firstAdmitted(context, server, { password, signal });
      if (viewer === undefined) return signal.aborted ? printed() : tooManyWrong();
      return await view(context, name, viewer);
    } finally {
      server.close();
    }
  }, 'interrupted');
}

const tooManyWrong = (): CommandResult =>
  failed(
    [
      {
        message: `${maxWrong} wrong passwords: nothing listens any more`,
        hint: 'call it again for another password',
      },
    ],
    4,
  );

function listen(server: Server, { host, port }: OthersPlace): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const bound = server.address();
      const { address, port: given } =
        typeof bound === 'object' && bound !== null ? bound : { address: '', port };
      const shown = host === undefined ? '*' : address.includes(':') ? `[${address}]` : address;
      resolve(`vnc://${shown}:${given}`);
    });
  });
}

interface Gate {
  readonly password: string;
  readonly signal: AbortSignal;
}

/** Undefined: too many wrong passwords, or interrupted. Nobody else is left connected, and nothing listens. */
async function firstAdmitted(
  context: Context,
  server: Server,
  { password, signal }: Gate,
): Promise<Socket | undefined> {
  const over = Promise.withResolvers<Socket | undefined>();
  const knocking = new Set<Socket>();
  let wrong = 0;
  server.on('connection', (socket) => {
    socket.on('error', () => socket.destroy());
    if (knocking.size >= maxHandshakes || wrong >= maxWrong) {
      socket.destroy();
      return;
    }
    knocking.add(socket);
    socket.once('close', () => knocking.delete(socket));
    void knock(socket);
  });
  const knock = async (socket: Socket): Promise<void> => {
    const admission = await admitViewer(socket, password);
    if (admission === 'in') over.resolve(socket);
    if (admission === 'gone') socket.destroy();
    if (admission !== 'wrong') return;
    wrong += 1;
    context.warn(`${escapeLine(socket.remoteAddress ?? 'a viewer')} gave a wrong password\n`);
    if (wrong >= maxWrong) over.resolve(undefined);
  };
  signal.addEventListener('abort', () => over.resolve(undefined), { once: true });
  const admitted = await over.promise;
  server.close();
  for (const socket of knocking) if (socket !== admitted) socket.destroy();
  return admitted;
}

async function view(context: Context, name: string, viewer: Socket): Promise<CommandResult> {
  const opened = await context.client.vnc({ name });
  if (!opened.ok) {
    viewer.destroy();
    return failed(opened.faults);
  }
  const screen = await behindHandshake(opened.result);
  if (screen === undefined) {
    viewer.destroy();
    opened.result.close();
    return failed([
      { message: `the screen of machine "${name}" did not answer as it should`, hint: 'try again' },
    ]);
  }
  return (await viewOnce(context, { name, socket: viewer, opened: screen })) ?? printed();
}
