/** What becomes of a QEMU in whose save or start an earlier manager, or the broker, died. */
import type { RunStatus } from '../../qmp/command-values.ts';
import { commands } from '../../qmp/commands.ts';
import type { Run } from '../lifecycle/run.ts';
import type { MoveNotes } from '../migration/move-notes.ts';
import { setsOf, takeFresh } from './fresh-descriptors.ts';
import { goOn } from './save-run.ts';
import type { SavedStates } from './saved-states.ts';

export type Found =
  /** `saved`: all of it is in its state. `moved`: its guest is on another host. `cut off`: its guest never ran. */
  | { readonly verdict: 'end'; readonly ending: 'saved' | 'moved' | 'cut off' }
  | { readonly verdict: 'on'; readonly running: boolean; readonly note?: string };

/**
 * Asked of a process that is not being saved or started by this manager.
 * SECURITY: promise 7. A state that is kept, and a guest that runs, are never both there for longer than this takes: one goes.
 */
export async function judgeFound(
  run: Run,
  { status, running }: RunStatus,
  { states, moves }: { readonly states: SavedStates; readonly moves: MoveNotes },
): Promise<Found> {
  const { machine, launchedAt } = run.launched;
  const moved = await judgeMoved(run, { status, running }, moves);
  if (moved !== undefined) return moved;
  const kept = states.get(machine);
  if (kept !== undefined) {
    // It stands where it was saved, or before what is to be resumed.
    if (!running)
      return {
        verdict: 'end',
        ending: kept.usable && kept.note.launchedAt === launchedAt ? 'saved' : 'cut off',
      };
    await states.discard(machine);
    return { verdict: 'on', running, note: 'the saved state was thrown away, since the guest has gone on' };
  }
  if (!run.begun) {
    const taken = await states.taken(machine);
    if (taken !== undefined && !running) {
      await states.giveBack(taken);
      return { verdict: 'end', ending: 'cut off' };
    }
    if (taken !== undefined) await states.discard(machine);
    // SECURITY: promise 5. Whoever began this start is gone, and its walls were not proved: no guest runs behind them.
    if (status === 'prelaunch' || status === 'inmigrate') return { verdict: 'end', ending: 'cut off' };
  }
  if (run.saving === undefined) return { verdict: 'on', running };
  const paused = run.saving === 'paused';
  const stuck = running ? undefined : await goOn(run, paused);
  if (run.session !== undefined && !paused && stuck === undefined) await takeFresh(run.session, setsOf(run));
  run.saving = undefined;
  return {
    verdict: 'on',
    running: running || (!paused && stuck === undefined),
    note: `a save was interrupted, and the guest goes on${stuck === undefined ? '' : `: ${stuck}`}`,
  };
}

/** What the note of a move between hosts says of it; undefined: nothing. */
async function judgeMoved(run: Run, { running }: RunStatus, moves: MoveNotes): Promise<Found | undefined> {
  const note = moves.get(run.launched.machine);
  if (note === undefined) return undefined;
  // SECURITY: promise 7. What stands still here may stand so because its guest was given away.
  if (note.kind === 'unreadable' && !running) return { verdict: 'on', running };
  const ofThis = note.launchedAt === run.launched.launchedAt;
  // It stands still until it is known whether it runs there.
  if (note.kind === 'given' && ofThis) return { verdict: 'on', running };
  if (note.kind === 'gone' && ofThis) return { verdict: 'end', ending: 'moved' };
  if (run.begun) return undefined;
  if (note.kind === 'arriving') return { verdict: 'end', ending: 'cut off' };
  if (note.kind !== 'arrived' || !ofThis || running) return undefined;
  // SECURITY: promise 5. Its walls were proved before this note was written, and nobody else lets its guest go on.
  if (note.paused || run.session === undefined) return { verdict: 'on', running };
  const going = await commands.cont(run.session);
  const stuck = going.ok ? '' : `, and is paused: ${going.message}`;
  return { verdict: 'on', running: going.ok, note: `it came from ${note.peer}${stuck}` };
}
