/** The manager's command line. */
import { parseArgs } from 'node:util';
import { systemRoots, type Roots } from '../protocol/paths.ts';

export const usage = `usage: qward-manager [--config-dir DIR] [--run-dir DIR] [--state-dir DIR] [--check-results]

The manager of qward: the API, definitions, and the life of the machines. It runs as an ordinary user, and is started by
systemd or by \`qward host up\`, which hand it its socket (LISTEN_FDS). Without one it binds RUN-DIR/api.sock itself.`;

export interface Options {
  readonly help: boolean;
  readonly version: boolean;
  readonly roots: Roots;
  readonly checkResults: boolean;
}

/** Throws what parseArgs throws on options that there are not. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      'config-dir': { type: 'string', default: systemRoots.config },
      'run-dir': { type: 'string', default: systemRoots.run },
      'state-dir': { type: 'string', default: systemRoots.state },
      'check-results': { type: 'boolean', default: false },
    },
  });
  return {
    help: values.help,
    version: values.version,
    checkResults: values['check-results'],
    roots: { config: values['config-dir'], run: values['run-dir'], state: values['state-dir'] },
  };
}
