/** What is known of a machine from outside, and how it changes. */
import type { MachineState, MachineStatus } from '../../api/contract.ts';
import type { LimitsHit } from '../../linux/limits-hit.ts';
import type { EndCause } from './restart-policy.ts';

export type LastEnd = NonNullable<MachineStatus['lastEnd']>;

export interface RunExit {
  readonly ending: 'none' | 'powerdown' | 'kill' | 'cut off' | 'saved' | 'moved';
  readonly shutdown: { readonly guest: boolean; readonly reason: string } | undefined;
  readonly end: { readonly signal: string | null; readonly exitCode: number | null } | undefined;
  /** Whether the manager was there to see it. */
  readonly witnessed: boolean;
  readonly limits: LimitsHit;
  readonly log: readonly string[];
  readonly at: string;
}

export type EndedState = Extract<MachineState, 'stopped' | 'crashed' | 'failed' | 'saved'>;

const stateAfter: Readonly<Record<LastEnd['how'], EndedState>> = {
  'shut down': 'stopped',
  killed: 'stopped',
  saved: 'saved',
  moved: 'stopped',
  crashed: 'crashed',
  'start failed': 'failed',
  'not known': 'stopped',
};

/** State and last end of a machine whose process is gone. */
export function judgeExit(exit: RunExit): { readonly state: EndedState; readonly lastEnd: LastEnd } {
  const { how, message } = describeExit(exit);
  const signal = exit.end?.signal ?? null;
  const exitCode = exit.end?.exitCode ?? null;
  return {
    state: stateAfter[how],
    lastEnd: { how, message, signal, exitCode, log: [...exit.log], at: exit.at },
  };
}

/** QEMU's words for why it shuts down (qapi/run-state.json, ShutdownCause). */
const guestPanic = 'guest-panic';
const guestPowerOff = 'guest-shutdown';

/** Whose will the end was. What was asked for by a user, or ended by the host, is nobody's fault. */
export function causeOfEnd({ ending, shutdown }: RunExit, { how }: Pick<LastEnd, 'how'>): EndCause {
  if (ending !== 'none') return 'other';
  if (how === 'crashed') return 'crash';
  return how === 'shut down' && shutdown?.reason === guestPowerOff ? 'power-off' : 'other';
}

function describeExit({
  ending,
  shutdown,
  end,
  witnessed,
  limits,
}: RunExit): Pick<LastEnd, 'how' | 'message'> {
  if (ending === 'saved') return { how: 'saved', message: 'its memory and devices are kept' };
  if (ending === 'moved') return { how: 'moved', message: 'it runs on another host' };
  if (ending === 'kill') return { how: 'killed', message: 'killed by qward' };
  if (ending === 'cut off')
    return {
      how: 'start failed',
      message: 'its start was cut off before the walls were proved; it was ended, and its guest never ran',
    };
  if (shutdown?.reason === guestPanic)
    return { how: 'crashed', message: "the guest's kernel panicked, and QEMU ended" };
  if (end?.signal !== null && end?.signal !== undefined)
    return { how: 'crashed', message: `QEMU was ended by ${end.signal}${whyEnded(end.signal, limits)}` };
  if (end !== undefined && end.exitCode !== 0)
    return {
      how: 'crashed',
      message: `QEMU ended by itself with status ${end.exitCode}${whyEnded(null, limits)}`,
    };
  if (shutdown !== undefined)
    return { how: 'shut down', message: `the machine shut down: ${shutdown.reason}` };
  if (end !== undefined) return { how: 'shut down', message: 'QEMU ended with status 0' };
  if (witnessed)
    return {
      how: 'crashed',
      message: `QEMU ended by itself; this kernel does not tell how${whyEnded(null, limits)}`,
    };
  return { how: 'not known', message: 'QEMU ended while no manager ran; this kernel does not tell how' };
}

/** The kernel's reason, where it counted one. */
function whyEnded(signal: string | null, limits: LimitsHit): string {
  if (limits.memory) return ': it reached its memory limit; raise `limits.memory` in the definition';
  if (limits.pids) return ': it reached its limit of threads; raise `limits.pids` in the definition';
  // As the first process of its pid namespace QEMU is not hit by its own SIGABRT; what abort(3) does next is a SIGSEGV.
  return signal === 'SIGSEGV' ? ', or gave up by itself' : '';
}
