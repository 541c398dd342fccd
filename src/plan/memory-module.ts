/** Memory that is plugged into a machine while it runs: of the kind that it was started with, where it has room. Pure. */
import { formatByteSize } from '../definition/byte-size.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { guestSize } from './guest-size.ts';
import { optionsOf, type Options } from './launched-options.ts';

/** Linux takes memory in and gives it back in blocks of this size (x86-64). */
const step = 128 * 1024 ** 2;

export interface ModuleThere {
  readonly id: string;
  /** Bytes. */
  readonly memory: number;
}

export type ModuleOutcome =
  | { readonly ok: true; readonly backend: Options; readonly device: Options }
  | { readonly ok: false; readonly why: string; readonly cure: string };

/** `backend`: what QEMU is to call the memory itself. */
export function planModule(
  launch: Pick<LaunchRequest, 'argv'>,
  there: readonly ModuleThere[],
  { size, backend: id }: { readonly size: number; readonly backend: string },
): ModuleOutcome {
  const { memory, mostMemory, slots } = guestSize(launch.argv);
  const refused = (why: string, cure: string): ModuleOutcome => ({ ok: false, why, cure });
  const now = memory + there.reduce((sum, module) => sum + module.memory, 0);
  if (slots === 0)
    return refused(
      'it was started without room for more',
      'set `memoryMaximum` and `memorySlots` in its definition and start it anew',
    );
  if (size % step !== 0)
    return refused('guests take memory in blocks', `give a multiple of ${formatByteSize(step)}`);
  if (now + size > mostMemory)
    return refused(
      `it has ${formatByteSize(now)}, and room for ${now === mostMemory ? 'none' : `${formatByteSize(mostMemory - now)} more at most`}`,
      'raise `memoryMaximum` in its definition and start it anew',
    );
  const free = Array.from({ length: slots }, (_, index) => `memory.${index}`).find(
    (name) => !there.some((module) => module.id === name),
  );
  if (free === undefined)
    return refused(
      `all ${slots} places are taken`,
      'detach one, or raise `memorySlots` in its definition and start it anew',
    );
  // SECURITY: promise 2. As for what it was started with: other machines could measure what equal pages hold.
  const usual = { 'qom-type': 'memory-backend-ram', merge: false, dump: false };
  const [first = usual] = optionsOf(launch, '-object').filter(({ id: name }) => name === 'mem.0');
  return {
    ok: true,
    backend: { ...first, id, size },
    device: { driver: 'pc-dimm', id: free, memdev: id },
  };
}
