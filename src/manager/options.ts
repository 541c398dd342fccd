/** The manager's command line. */
import { parseArgs } from 'node:util';
import { systemRoots, type Roots } from '../protocol/paths.ts';

export const usage = `usage: qward-manager [--session [--idle SECONDS]] [--config-dir DIR] [--run-dir DIR] [--state-dir DIR] [--check-results]

The manager of qward: the API, definitions, and the life of the machines. It runs as an ordinary user, and is started by
systemd or by \`qward host up\`, which hand it its socket (LISTEN_FDS). Without one it binds RUN-DIR/api.sock itself.

--session: of an ordinary user's own machines. Its directories are those of the XDG specification; it starts the broker
itself, and ends when nothing runs and nobody has asked for anything for some time (60 s; --idle 0: never).`;

export interface Options {
  readonly help: boolean;
  readonly version: boolean;
  /** Undefined where they are to be found: of a session. */
  readonly roots: Roots | undefined;
  readonly session: boolean;
  readonly idleMs: number;
  readonly checkResults: boolean;
}

/** Throws what parseArgs throws on options that there are not. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      session: { type: 'boolean', default: false },
      idle: { type: 'string', default: '60' },
      'config-dir': { type: 'string' },
      'run-dir': { type: 'string' },
      'state-dir': { type: 'string' },
      'check-results': { type: 'boolean', default: false },
    },
  });
  return {
    help: values.help,
    version: values.version,
    checkResults: values['check-results'],
    session: values.session,
    idleMs: Number(values.idle) * 1000,
    roots: rootsOf(values),
  };
}

function rootsOf(values: {
  readonly session: boolean;
  readonly 'config-dir'?: string;
  readonly 'run-dir'?: string;
  readonly 'state-dir'?: string;
}): Roots | undefined {
  const { config, run, state } = systemRoots;
  const named = {
    config: values['config-dir'] ?? config,
    run: values['run-dir'] ?? run,
    state: values['state-dir'] ?? state,
  };
  const places = [values['config-dir'], values['run-dir'], values['state-dir']];
  if (!values.session) return named;
  if (places.every((place) => place === undefined)) return undefined;
  if (places.includes(undefined)) throw new Error('a session is given all three directories, or none');
  return named;
}
