/** What a guest was started with, and has room for, by QEMU's arguments as plan-launch.ts makes them. Pure. */

const mib = 1024 ** 2;

export interface GuestSize {
  readonly cpus: number;
  readonly mostCpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly mostMemory: number;
  /** Places for modules of memory. */
  readonly slots: number;
}

export function guestSize(argv: readonly string[]): GuestSize {
  const numberIn = (option: string, key: string, unit = ''): number =>
    Number(
      new RegExp(`(?:^|,)${key}=(\\d+)${unit}(?:,|$)`).exec(argv[argv.indexOf(option) + 1] ?? '')?.[1] ?? 0,
    );
  const [cpus, memory] = [numberIn('-smp', 'cpus'), numberIn('-m', 'size', 'M') * mib];
  return {
    cpus,
    mostCpus: Math.max(cpus, numberIn('-smp', 'maxcpus')),
    memory,
    mostMemory: Math.max(memory, numberIn('-m', 'maxmem', 'M') * mib),
    slots: numberIn('-m', 'slots'),
  };
}
