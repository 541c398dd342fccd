/** Which CPUs the threads of a process may run on: sched_setaffinity(2). */
import { readFileSync, readdirSync } from 'node:fs';
import type { Pin } from '../protocol/launch.ts';
import { unlessMissing } from './errno.ts';
import { addressOf, lastErrno, SystemError, syscall } from './libc.ts';

const SYS_sched_setaffinity = 203;
const maskBytes = 128;
const ESRCH = 3;
/** A process that makes threads all the while is not followed for ever. */
const rounds = 8;

/** Each thread by the first pin whose name its own begins with, until no new one has come. Throws SystemError: no such CPU. */
export function pinThreads(pid: number, pins: readonly Pin[]): void {
  const seen = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    const fresh = (unlessMissing(() => readdirSync(`/proc/${pid}/task`)) ?? []).filter(
      (tid) => !seen.has(tid),
    );
    if (fresh.length === 0) return;
    for (const tid of fresh) {
      seen.add(tid);
      const name = unlessMissing(
        () => readFileSync(`/proc/${pid}/task/${tid}/comm`, 'latin1'),
        ['ENOENT', 'ESRCH'],
      );
      const pin = pins.find(({ thread }) => name?.startsWith(thread));
      if (pin !== undefined) setAffinity(Number(tid), pin.cpus);
    }
  }
}

function setAffinity(tid: number, cpus: readonly number[]): void {
  const mask = Buffer.alloc(maskBytes);
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  if (syscall(SYS_sched_setaffinity, [tid, maskBytes, addressOf(mask)]) >= 0n) return;
  const errno = lastErrno();
  if (errno !== ESRCH) throw new SystemError('sched_setaffinity', errno, `CPUs ${cpus.join(', ')}`);
}
