/** Figures of machines as Prometheus reads them: text format 0.0.4. Pure. */
import type { MachineStats } from './machine-stats.ts';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | null;
}

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: (machine: MachineStats) => readonly Sample[];
}

const one = (value: number | null | undefined): readonly Sample[] => [{ labels: {}, value: value ?? null }];

type Disk = NonNullable<MachineStats['disks']>[number];
type Nic = MachineStats['nics'][number];

const ofDisks =
  (value: (disk: Disk) => number) =>
  ({ disks }: MachineStats): readonly Sample[] =>
    (disks ?? []).map((disk) => ({ labels: { disk: disk.disk }, value: value(disk) }));
const ofNics =
  (value: (nic: Nic) => number) =>
  ({ nics }: MachineStats): readonly Sample[] =>
    nics.map((nic) => ({ labels: { nic: nic.nic }, value: value(nic) }));

const counter = (name: string, help: string, samples: Metric['samples']): Metric => ({
  name,
  type: 'counter',
  help,
  samples,
});
const gauge = (name: string, help: string, samples: Metric['samples']): Metric => ({
  name,
  type: 'gauge',
  help,
  samples,
});

export const metrics: readonly Metric[] = [
  gauge('qward_machine_up', 'Whether the guest runs.', ({ state }) => one(state === 'running' ? 1 : 0)),
  gauge('qward_machine_state', '1 for the state that the machine is in.', ({ state }) => [
    { labels: { state }, value: 1 },
  ]),
  gauge('qward_machine_cpus', 'Virtual CPUs.', ({ cpu }) => one(cpu?.cpus)),
  counter('qward_machine_cpu_seconds_total', 'Time of QEMU on CPUs of the host.', ({ cpu }) =>
    one(cpu?.seconds),
  ),
  gauge('qward_machine_memory_bytes', 'Memory of the host that QEMU uses.', ({ memory }) =>
    one(memory?.used),
  ),
  gauge('qward_machine_memory_limit_bytes', 'Memory that QEMU may use.', ({ memory }) => one(memory?.limit)),
  gauge('qward_machine_guest_memory_bytes', 'Memory that the guest has.', ({ memory }) => one(memory?.guest)),
  counter(
    'qward_machine_disk_read_bytes_total',
    'Bytes that the guest read.',
    ofDisks(({ readBytes }) => readBytes),
  ),
  counter(
    'qward_machine_disk_written_bytes_total',
    'Bytes that the guest wrote.',
    ofDisks(({ writtenBytes }) => writtenBytes),
  ),
  counter(
    'qward_machine_disk_reads_total',
    'Reads of the guest.',
    ofDisks(({ reads }) => reads),
  ),
  counter(
    'qward_machine_disk_writes_total',
    'Writes of the guest.',
    ofDisks(({ writes }) => writes),
  ),
  counter(
    'qward_machine_disk_flushes_total',
    'Flushes of the guest.',
    ofDisks(({ flushes }) => flushes),
  ),
  counter(
    'qward_machine_network_received_bytes_total',
    'Bytes that the guest received on a bridge.',
    ofNics(({ receivedBytes }) => receivedBytes),
  ),
  counter(
    'qward_machine_network_sent_bytes_total',
    'Bytes that the guest sent on a bridge.',
    ofNics(({ sentBytes }) => sentBytes),
  ),
  counter(
    'qward_machine_network_received_packets_total',
    'Packets that the guest received on a bridge.',
    ofNics(({ receivedPackets }) => receivedPackets),
  ),
  counter(
    'qward_machine_network_sent_packets_total',
    'Packets that the guest sent on a bridge.',
    ofNics(({ sentPackets }) => sentPackets),
  ),
];

export function prometheusText(machines: readonly MachineStats[]): string {
  return metrics
    .map(({ name, type, help, samples }) => {
      const lines = machines.flatMap((machine) =>
        samples(machine).flatMap(({ labels, value }) =>
          value === null ? [] : [`${name}${labelText({ machine: machine.name, ...labels })} ${value}\n`],
        ),
      );
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
    })
    .join('');
}

/** SECURITY: rule HTTP. No name ends its quotes or its line. */
function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return `{${pairs.join(',')}}`;
}
