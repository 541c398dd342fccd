/** The daemons as programs of this Node: beside this file when bundled, in the source tree when not. */
import { fileURLToPath } from 'node:url';

export type DaemonName = 'broker' | 'manager';

/**
 * Memory matters on hosts that are there for guests. `--optimize-for-size` lets V8 give back what it does not need: with 300
 * machines the manager has 70 MiB in place of 100, and answers as fast; a small young generation costs neither anything.
 */
export const daemonNodeOptions: Readonly<Record<DaemonName, readonly string[]>> = {
  manager: ['--optimize-for-size', '--max-semi-space-size=2'],
  broker: ['--max-semi-space-size=1'],
};

/** One arena of malloc for all threads: what one of them freed, another uses (mallopt(3), M_ARENA_MAX). */
export const daemonEnvironment = { MALLOC_ARENA_MAX: '1' } as const;

export function programOf(name: DaemonName): string {
  const bundled = import.meta.url.endsWith('.js');
  return fileURLToPath(new URL(bundled ? `./qward-${name}.js` : `../${name}/main.ts`, import.meta.url));
}

/** Its words, Node first. */
export function daemonCommand(name: DaemonName): readonly string[] {
  return [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    ...daemonNodeOptions[name],
    programOf(name),
  ];
}

/** In which a program is handed its sockets (sd_listen_fds(3)): the shell is there to know its own pid. */
export const inListeningShell = (words: readonly string[]): readonly string[] => [
  '/bin/sh',
  '-c',
  'LISTEN_PID=$$ exec "$@"',
  'sh',
  ...words,
];
