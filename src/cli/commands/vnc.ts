import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { done, failed, printed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { placeForOthers } from '../vnc/place-for-others.ts';
import { findViewer, hasDisplay, runViewer } from '../vnc/run-viewer.ts';
import type { Place } from '../vnc/view-port.ts';
import type { VncStream } from '../../api/vnc-stream.ts';

export const vnc = defineCommand({
  name: 'vnc',
  summary: 'See the screen of a machine in a VNC viewer.',
  details:
    'The machine needs `vnc: true`. On a desktop it opens your viewer, at a port that is good for this one connection, and ends with it: the program of\n' +
    'QWARD_VIEWER (its words may have {host}, {port}, {display}), else vncviewer, remote-viewer or gvncviewer. Elsewhere, and with --port or --listen, it\n' +
    'prints where a viewer of yours connects, and passes on what it sees and types until it is interrupted or the machine ends; one viewer\n' +
    'at a time. QEMU itself listens nowhere. The port is of this host alone (127.0.0.1), and processes of other users are sent away; with --listen\n' +
    'it is a Unix socket that only you may open, or a port for others, whom a password lets in that is printed and good for one viewer.\n' +
    'What passes there is not encrypted. --status says who looks at which screens.',
  arguments: { NAME: { ...oneMachine, optional: true } },
  options: {
    port: {
      kind: 'number',
      short: 'p',
      value: 'PORT',
      help: 'Port on 127.0.0.1; default: one that is free.',
    },
    listen: {
      kind: 'text',
      short: 'l',
      value: 'PLACE',
      complete: 'file',
      help: 'A Unix socket, /PATH; or for others, with a password: ADDRESS:PORT, or PORT on every address.',
    },
    status: { kind: 'flag', help: 'Say who looks at which screens; of NAME, or of every machine.' },
    viewer: {
      kind: 'flag',
      short: 'v',
      help: 'Run a viewer, also where no desktop is seen, and end with it.',
    },
    noViewer: { kind: 'flag', help: 'Run none: say where one connects.' },
  },
  examples: [
    { line: 'qward vnc web', meaning: 'open a window with its screen' },
    { line: 'qward vnc web --no-viewer', meaning: 'say where a viewer connects' },
    { line: 'qward vnc web --listen 192.0.2.1:5901', meaning: 'for one viewer elsewhere' },
    { line: 'qward vnc --status', meaning: 'who looks' },
    { line: 'qward vnc web -H ssh://db1', meaning: 'of a machine on another host' },
  ],
  async run(context, { arguments: { NAME: name }, options: { port, listen, viewer, noViewer, status } }) {
    const placed = listen !== undefined || port !== undefined;
    if (status) {
      if (placed || viewer || noViewer) return usage('vnc: --status stands alone');
      return await showScreens(context, name);
    }
    if (name === undefined) return usage('vnc: NAME is missing');
    if (viewer && noViewer) return usage('vnc: --viewer or --no-viewer?');
    if (listen !== undefined && (port !== undefined || viewer))
      return usage('vnc: --listen stands alone: viewers that are run here, and --port, mean a port');
    // What is wrong is said before anything listens. It is the first viewer's.
    const opened = await withNearestName(context, name, await context.client.vnc({ name }));
    if (!opened.ok) return failed(opened.faults);
    const others = listen === undefined ? undefined : placeForOthers(listen);
    if (typeof others === 'string') return usage(others);
    if (others !== undefined) {
      opened.result.close();
      const { serveOthers } = await import('../vnc/serve-others.ts');
      return await serveOthers(context, name, others);
    }
    return await serve(context, {
      name,
      first: opened.result,
      viewer: viewer || (!noViewer && !placed && !context.json && hasDisplay(context.io.env) && 'if found'),
      place: listen === undefined ? { port: port ?? 0 } : { path: resolve(listen) },
    });
  },
});

async function showScreens(context: Context, name: string | undefined): Promise<CommandResult> {
  const reply = await context.client.call('screens', {});
  if (!reply.ok) return failed(reply.faults);
  const screens = reply.result.screens.filter((one) => name === undefined || one.name === name);
  if (name !== undefined && screens.length === 0)
    return failed(
      [{ message: `machine "${name}" shows no screen: it does not run, or has none`, hint: '' }],
      3,
    );
  const { renderScreens } = await import('../render/screens.ts');
  return done({ screens }, (style) => renderScreens(screens, style));
}

interface Order {
  readonly name: string;
  readonly first: VncStream;
  readonly place: Place;
  /** Whether one is run here; "if found": else it is said that there is none, and where one connects. */
  readonly viewer: boolean | 'if found';
}

async function serve(context: Context, { name, first, place, viewer }: Order): Promise<CommandResult> {
  const [{ openViewPort }, { viewOnce }] = await Promise.all([
    import('../vnc/view-port.ts'),
    import('../vnc/view-once.ts'),
  ]);
  const over = Promise.withResolvers<CommandResult>();
  const interrupt = (): void => over.resolve(printed());
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let busy = false;
  let unused: VncStream | undefined = first;
  let once = false;
  let shut = (): void => undefined;
  const onViewer = (socket: Socket): void => {
    if (busy) {
      socket.destroy();
      return;
    }
    busy = true;
    if (once) shut();
    viewOnce(context, { name, socket, opened: unused })
      .then((ending) => ending !== undefined && over.resolve(ending), over.reject)
      .finally(() => (busy = false));
    unused = undefined;
  };
  const port = await openViewPort(place, onViewer, (why) => context.warn(`${why}\n`)).catch(
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (typeof port === 'string')
    return failed([{ message: port, hint: 'name another place: --port, or --listen' }]);
  shut = port.close;
  for (const signal of signals) process.once(signal, interrupt);
  try {
    const found = viewer === false ? undefined : findViewer(context.io.env, port.address);
    if (found !== undefined && 'program' in found) {
      // SECURITY: promise 4. The port is this viewer's: it is closed with the first connection.
      once = true;
      runViewer(found, context.io.env).then(
        (fault) => over.resolve(fault === undefined ? printed() : failed([fault])),
        over.reject,
      );
    } else {
      if (found !== undefined && viewer === true) return failed([found]);
      if (found !== undefined) context.warn(`${found.message}\n  ${found.hint}\n`);
      context.print(context.json ? `${JSON.stringify({ address: port.address })}\n` : `${port.address}\n`);
    }
    return await over.promise;
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
    port.close();
    first.close();
  }
}
