/** CPUs that a machine has room for: those of its start, and those that can be plugged in later. */
export function mostCpus(cpu: { readonly count: number; readonly maximum?: number | undefined }): number {
  return cpu.maximum ?? cpu.count;
}
