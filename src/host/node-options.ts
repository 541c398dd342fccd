/** How the daemons' Node is run, wherever they are started. */

/**
 * Memory matters on hosts that are there for guests. `--optimize-for-size` lets V8 give back what it does not need: with 300
 * machines the manager has 70 MiB in place of 100, and answers as fast; a small young generation costs neither anything.
 */
export const daemonNodeOptions: Readonly<Record<'broker' | 'manager', readonly string[]>> = {
  manager: ['--optimize-for-size', '--max-semi-space-size=2'],
  broker: ['--max-semi-space-size=1'],
};

/** One arena of malloc for all threads: what one of them freed, another uses (mallopt(3), M_ARENA_MAX). */
export const daemonEnvironment = { MALLOC_ARENA_MAX: '1' } as const;
