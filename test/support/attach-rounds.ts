/** One disk, attached and detached again and again: nothing that any of the three processes has may grow. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { statusOf } from './driver.ts';
import type { Instance } from './instance.ts';

interface Rounds {
  readonly machine: string;
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly rounds: number;
  /** Default: on SCSI, which needs no answer of the guest. */
  readonly bus?: 'virtio' | 'scsi';
}

const resident = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** KiB that an allocator may keep, whatever the rounds; a leak of a node or a buffer in each round is more. */
const slackKib = 24 * 1024;

export async function attachRounds(
  instance: Instance,
  { machine, path, format, rounds, bus = 'scsi' }: Rounds,
): Promise<void> {
  const { pid } = await statusOf(instance, machine);
  const disk = { id: 'round', path, format, bus };
  const round = async (): Promise<void> => {
    const attached = await instance.client.call('attach', { name: machine, disk });
    assert.ok(attached.ok, JSON.stringify(attached));
    const detached = await instance.client.call('detach', { name: machine, id: 'round' });
    assert.ok(detached.ok, JSON.stringify(detached));
  };
  const processes = (): readonly number[] => [
    pid ?? 0,
    instance.daemon('manager'),
    instance.daemon('broker'),
  ];
  for (let times = 0; times < 10; times += 1) await round();
  const before = processes().map((one) => [descriptors(one), resident(one)] as const);
  for (let times = 0; times < rounds; times += 1) await round();
  const [qemu, manager, broker] = processes().map((one) => [descriptors(one), resident(one)] as const);
  const [qemuBefore, managerBefore, brokerBefore] = before;
  const told = JSON.stringify({ before, after: [qemu, manager, broker] });
  assert.ok((qemu?.[0] ?? 0) <= (qemuBefore?.[0] ?? 0), told);
  assert.ok((manager?.[0] ?? 0) <= (managerBefore?.[0] ?? 0) + 4, told);
  assert.ok((broker?.[0] ?? 0) <= (brokerBefore?.[0] ?? 0) + 1, told);
  assert.ok((qemu?.[1] ?? 0) <= (qemuBefore?.[1] ?? 0) + slackKib, told);
}
