/** A network namespace of a test's own, gone with the test however it ends. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { checked, syscall } from '../../src/linux/libc.ts';

export interface TestNetwork extends Disposable {
  /** What nsenter(1) enters. */
  readonly path: string;
  /** Runs a program in it; gives what it prints, throws where it fails. */
  readonly run: (program: string, ...args: readonly string[]) => string;
}

export async function createNetwork(): Promise<TestNetwork> {
  // The namespace lives as long as this process, which dies with the test's own (prctl(2), PR_SET_PDEATHSIG).
  const argv = ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity'];
  const holder = spawn('setpriv', argv, { stdio: 'ignore' });
  const path = `/proc/${holder.pid}/ns/net`;
  const ours = readlinkSync('/proc/self/ns/net');
  const giveUpAt = performance.now() + 5_000;
  while (readlinkSync(path) === ours) {
    if (performance.now() > giveUpAt) throw new Error('no network namespace was made');
    await delay(2);
  }
  return {
    path,
    run: (program, ...args) =>
      execFileSync('nsenter', [`--net=${path}`, program, ...args], { encoding: 'utf8', timeout: 30_000 }),
    [Symbol.dispose]: () => void holder.kill('SIGKILL'),
  };
}

const CLONE_NEWNET = 0x4000_0000;
const SYS_unshare = 272;
const SYS_setns = 308;

/** Moves this process's main thread, and what it opens and spawns from now on, into the network namespace at the path (setns(2)). */
export function enterNetwork(path: string): void {
  const namespace = openSync(path, 'r');
  try {
    checked(syscall(SYS_setns, [namespace, CLONE_NEWNET]), 'setns', path);
  } finally {
    closeSync(namespace);
  }
}

/** Moves this process's main thread, and what it spawns from now on, into a network namespace that ends with it (unshare(2)). */
export function enterOwnNetwork(): void {
  checked(syscall(SYS_unshare, [CLONE_NEWNET]), 'unshare', 'a network namespace');
}
