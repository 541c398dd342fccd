/** What a guest was started with, by QEMU's arguments as plan-launch.ts makes them. Pure. */

const mib = 1024 ** 2;

export interface GuestSize {
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
}

export function guestSize(argv: readonly string[]): GuestSize {
  const numberIn = (option: string, pattern: RegExp): number =>
    Number(pattern.exec(argv[argv.indexOf(option) + 1] ?? '')?.[1] ?? 0);
  return {
    cpus: numberIn('-smp', /(?:^|,)cpus=(\d+)(?:,|$)/),
    memory: numberIn('-m', /(?:^|,)size=(\d+)M(?:,|$)/) * mib,
  };
}
