/** qward-manager: an ordinary user's process that holds no privilege. See docs/architecture.md. */
import { chmodSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { listenFds } from '../linux/listen-fds.ts';
import { createNotifier, type Notifier } from '../linux/notify.ts';
import { writeStderr } from '../linux/stderr.ts';
import { pathsBelow, systemRoots } from '../protocol/paths.ts';
import { version } from '../protocol/version.ts';
import { createBrokerClient, defaultDeadlinesMs } from './broker-client.ts';
import { createManager, type Manager } from './manager.ts';
import { parseOptions, usage } from './options.ts';
import { serve } from './service.ts';
import { untilIdle } from './session/end-idle.ts';
import { openSession, type Session } from './session/open-session.ts';

const brokerConnectForMs = 3_000;

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help || options.version) {
    process.stdout.write(`${options.help ? usage : version}\n`);
    return;
  }
  const uid = process.geteuid?.() ?? 0;
  // SECURITY: promise 1. All that parses what users and guests wrote is in this process: it is never root's.
  if (uid === 0)
    throw new Error('must not run as root: start it as the user qward, by systemd or `qward host up`');
  process.title = 'qward-manager';
  process.umask(0o077);
  const session = options.session ? await openSession(options.roots, uid) : undefined;
  const roots = session?.roots ?? options.roots ?? systemRoots;
  const paths = pathsBelow(roots);
  const [inherited] = listenFds(process.env, process.pid);
  const notifier = createNotifier(process.env, process.pid);
  const manager = await createManager({
    paths,
    uid,
    broker: createBrokerClient({
      socketPath: paths.brokerSocket,
      connectForMs: brokerConnectForMs,
      deadlineMs: defaultDeadlinesMs,
      ...(session === undefined ? {} : { onAbsent: () => session.broker.ensure() }),
    }),
    session: options.session,
    now: () => new Date(),
    writeLog: writeStderr,
    checkResults: options.checkResults,
  });
  await manager.app.ready();
  await listen(manager.app.server, inherited, {
    path: paths.apiSocket,
    mode: session === undefined ? 0o666 : 0o600,
  });
  endOnSignal(manager, notifier, session);
  // A fault of one operation is no reason to let go of every other machine.
  process.on('unhandledRejection', (error) => {
    writeStderr(
      `qward-manager: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  });
  await serve(manager, notifier);
  if (session === undefined) return;
  const ownSocket = inherited === undefined ? paths.apiSocket : undefined;
  await untilIdle({ manager, idleMs: options.idleMs, ownSocket });
  await end(manager, notifier, session);
}

/** The socket is open to every user: who is granted nothing is refused everything. */
async function listen(
  server: Server,
  inherited: number | undefined,
  { path, mode }: { readonly path: string; readonly mode: number },
): Promise<void> {
  if (inherited !== undefined) {
    await new Promise<void>((resolve) => server.listen({ fd: inherited }, resolve));
    return;
  }
  if (await isAnswered(path)) throw new Error(`another manager listens on ${path}`);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, mode);
}

/** Whether somebody listens; a socket that a dead manager left is taken away. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      if (Reflect.get(error, 'code') === 'ECONNREFUSED') unlinkSync(path);
      resolve(false);
    });
  });
}

/** Machines run on: the next manager takes them over. */
function endOnSignal(manager: Manager, notifier: Notifier, session: Session | undefined): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => void end(manager, notifier, session));
}

async function end(manager: Manager, { tell }: Notifier, session: Session | undefined): Promise<void> {
  tell('STOPPING=1');
  session?.broker.end();
  await manager[Symbol.asyncDispose]().then(
    () => process.exit(0),
    () => process.exit(1),
  );
}

main().catch((error: unknown) => {
  writeStderr(`qward-manager: ${error instanceof Error ? error.message : String(error)}\n`);
  // Timers that run already would keep a manager alive that nobody can reach.
  process.exit(1);
});
