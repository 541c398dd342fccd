/** Which QEMU a binary is. */
import type { QemuFacts } from '../../plan/launch-plan.ts';

export type QemuVersion = QemuFacts['version'];

/** Reads what `qemu-system-x86_64 --version` prints; undefined where that is something else. */
export function parseQemuVersion(text: string): QemuVersion | undefined {
  const match = /^QEMU emulator version (\d{1,4})\.(\d{1,4})\.(\d{1,4})(?!\d)/.exec(text);
  if (match === null) return undefined;
  const [major = 0, minor = 0, micro = 0] = match.slice(1).map(Number);
  return { major, minor, micro };
}
