/** What a user says, or the other manager, of a move whose end was not heard. */
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { setsOf, takeFresh } from '../saved/fresh-descriptors.ts';
import { goOn } from '../saved/save-run.ts';
import { sayIt, type MoveNote, type MoveNotes } from './move-notes.ts';

export interface Settling {
  readonly moves: MoveNotes;
  readonly machine: string;
  /** Of the machine here, where it has a process. */
  readonly run: Run | undefined;
  /** Empty: of whatever move there is. */
  readonly token: string;
}

/** The note that is to be settled. */
export function openNote({ moves, machine, token }: Settling): Outcome<MoveNote> {
  const note = moves.get(machine);
  if (note === undefined || note.kind === 'arrived')
    return failure(
      'request-invalid',
      `machine "${machine}" is here, and nowhere else`,
      'there is nothing to say of it',
    );
  if (token !== '' && token !== note.token)
    return failure(
      'request-invalid',
      `machine "${machine}" was moved again since`,
      `\`qward status ${machine}\` shows where it is`,
    );
  return success(note);
}

/** Its guest is nowhere else: where it still stands here, it goes on. */
export async function keepHere(settling: Settling, note: MoveNote): Promise<Outcome<string>> {
  const { moves, machine, run } = settling;
  // A manager that dies after this is followed by one that knows by the note of the run that a move was interrupted.
  const removed = await moves.forget(machine);
  if (!removed.ok) return removed;
  // What cannot be read may be of a guest that was given: then the note of its run says how it was.
  const stood = note.kind === 'given' || (note.kind === 'unreadable' && run?.saving !== undefined);
  if (run?.session === undefined || !stood) return success('starts here again');
  const paused = note.kind === 'given' ? note.paused : run.saving === 'paused';
  const stuck = await goOn(run, paused);
  if (!paused && stuck === undefined) await takeFresh(run.session, setsOf(run));
  run.saving = undefined;
  return stuck === undefined
    ? success('goes on here')
    : failure('monitor-failed', `machine "${machine}": ${stuck}`, `look at \`qward logs ${machine}\``);
}

/** Whether a move to here came: yes, or a no on which its guest goes on elsewhere; else nothing is said. `runs`: a process of it is here. */
export function whetherItCame({
  moves,
  machine,
  token,
  runs,
}: Pick<Settling, 'moves' | 'machine' | 'token'> & { readonly runs: boolean }): Outcome<boolean> {
  const fate = moves.fateOf(machine, token);
  if (fate === 'arrived') return success(true);
  // SECURITY: promise 7. A token that is not known may be of a guest that runs here under another name, or went on from here.
  if (fate === 'refused' && !runs) return success(false);
  if (fate === 'refused')
    return failure(
      'migration-undecided',
      `machine "${machine}" did not come here, and what was launched for it is not ended yet`,
      `ask again; where that stays so: \`qward kill ${machine}\` here, and ask again`,
    );
  const why =
    fate === undefined
      ? 'nothing is known here of that move'
      : 'it did not come by that move, and a machine of that name ran here since, was renamed or removed';
  return failure(
    'migration-undecided',
    `whether machine "${machine}" runs here is not sure: ${why}`,
    `look where it runs, then ${sayIt(machine)}`,
  );
}
