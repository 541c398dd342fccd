/** What is known of a machine from outside, and how it changes. */
import type { MachineState, MachineStatus } from '../../api/contract.ts';

export type LastEnd = NonNullable<MachineStatus['lastEnd']>;

/** States in which there is no process. */
export const restingStates: readonly MachineState[] = ['stopped', 'crashed', 'failed'];

export interface RunExit {
  readonly ending: 'none' | 'powerdown' | 'kill';
  readonly shutdown: { readonly guest: boolean; readonly reason: string } | undefined;
  readonly end: { readonly signal: string | null; readonly exitCode: number | null } | undefined;
  /** Whether the manager was there to see it. */
  readonly witnessed: boolean;
  readonly log: readonly string[];
  readonly at: string;
}

/** State and last end of a machine whose process is gone. */
export function judgeExit(exit: RunExit): { readonly state: MachineState; readonly lastEnd: LastEnd } {
  const { how, message } = describeExit(exit);
  const signal = exit.end?.signal ?? null;
  const exitCode = exit.end?.exitCode ?? null;
  return {
    state: how === 'crashed' ? 'crashed' : 'stopped',
    lastEnd: { how, message, signal, exitCode, log: [...exit.log], at: exit.at },
  };
}

function describeExit({ ending, shutdown, end, witnessed }: RunExit): Pick<LastEnd, 'how' | 'message'> {
  if (ending === 'kill') return { how: 'killed', message: 'killed by qward' };
  if (end?.signal !== null && end?.signal !== undefined)
    return { how: 'crashed', message: `QEMU was ended by ${end.signal}` };
  if (end !== undefined && end.exitCode !== 0)
    return { how: 'crashed', message: `QEMU ended by itself with status ${end.exitCode}` };
  if (shutdown !== undefined)
    return { how: 'shut down', message: `the machine shut down: ${shutdown.reason}` };
  if (end !== undefined) return { how: 'shut down', message: 'QEMU ended with status 0' };
  if (witnessed) return { how: 'crashed', message: 'QEMU ended by itself; this kernel does not tell how' };
  return { how: 'not known', message: 'QEMU ended while no manager ran; this kernel does not tell how' };
}
