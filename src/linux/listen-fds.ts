/** Sockets that the service manager made before this program started: sd_listen_fds(3). */

const firstListenFd = 3;

/** The inherited listening descriptors; none where they were meant for another process. Clears the environment. */
export function listenFds(environment: NodeJS.ProcessEnv, pid: number): number[] {
  const count = Number(environment['LISTEN_FDS'] ?? '0');
  const forUs = Number(environment['LISTEN_PID'] ?? '-1') === pid;
  delete environment['LISTEN_FDS'];
  delete environment['LISTEN_PID'];
  delete environment['LISTEN_FDNAMES'];
  if (!forUs || !Number.isInteger(count) || count < 0 || count > 16) return [];
  return Array.from({ length: count }, (_, index) => firstListenFd + index);
}

/**
 * The inherited descriptors by name: as LISTEN_FDNAMES has them where it knows any of the names, else in the order of
 * `names`. Throws where it has one of the names and something else beside it. Clears the environment.
 */
export function namedListenFds(
  environment: NodeJS.ProcessEnv,
  pid: number,
  names: readonly string[],
): ReadonlyMap<string, number> {
  const given = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  const fds = listenFds(environment, pid);
  // A service manager that was given no names passes those of its units.
  const told = given.some((name) => names.includes(name)) ? given : names;
  const found = new Map(
    fds.flatMap((fd, index) => (names.includes(told[index] ?? '') ? [[told[index] ?? '', fd]] : [])),
  );
  if (told === given && found.size !== fds.length)
    throw new Error(
      `LISTEN_FDNAMES is "${given.join(':')}"; each of ${names.join(' and ')} expected at most once`,
    );
  return found;
}
