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
