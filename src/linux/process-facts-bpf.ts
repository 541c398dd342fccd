/** The device wall of cgroup v2 is a program of the kernel: whether one is there (bpf(2), BPF_PROG_QUERY). */
import { closeSync, constants, openSync } from 'node:fs';
import { addressOf, syscall } from './libc.ts';

const SYS_BPF = 321;
const BPF_PROG_QUERY = 16;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_QUERY_EFFECTIVE = 1;

/** Device programs in force on a v2 cgroup, its ancestors' included; null where the kernel does not tell. */
export function countDevicePrograms(directory: string): number | null {
  let cgroup: number;
  try {
    cgroup = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return null;
  }
  try {
    // target_fd, attach_type, query_flags, attach_flags, prog_ids (0: only count), prog_cnt, padding
    const attributes = Buffer.alloc(64);
    attributes.writeUInt32LE(cgroup, 0);
    attributes.writeUInt32LE(BPF_CGROUP_DEVICE, 4);
    attributes.writeUInt32LE(BPF_F_QUERY_EFFECTIVE, 8);
    const result = syscall(SYS_BPF, [BPF_PROG_QUERY, addressOf(attributes), attributes.length]);
    return result < 0n ? null : attributes.readUInt32LE(24);
  } finally {
    closeSync(cgroup);
  }
}
