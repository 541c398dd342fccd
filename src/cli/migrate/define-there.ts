/** The machine on the other host: defined as it is here, as a machine of who moves it, with the files that are that user's. */
import type { QwardClient, Reply } from '../../api/client.ts';
import { writtenFiles } from '../../definition/written-files.ts';
import type { ClaimedFile } from '../../protocol/claims.ts';

export interface DefinedThere {
  /** Takes it back, where it was not there before. */
  readonly undo: () => Promise<void>;
}

const failed = (message: string, hint: string): Reply<never> => ({
  ok: false,
  status: 409,
  faults: [{ code: 'migration-failed', message, hint }],
});

export async function defineThere(
  here: QwardClient,
  there: QwardClient,
  name: string,
): Promise<Reply<DefinedThere>> {
  const definition = await here.call('definition', { name });
  if (!definition.ok) return definition;
  const { source, revision } = definition.result;
  // SECURITY: promise 4. A manager that was taken over has no other machine of the user's replaced there.
  if (writtenFiles(source)?.name !== name)
    return failed(`what the manager here has as machine "${name}" is not called so`, 'see `qward show`');
  const found = await there.call('status', { name });
  const known = found.ok ? await there.call('definition', { name }) : undefined;
  if (!found.ok && found.faults[0]?.code !== 'machine-unknown') return found;
  const same = known?.ok === true && known.result.revision === revision;
  const left = found.ok && ['gone', 'arriving'].includes(found.result.moved?.kind ?? '');
  if (found.ok && !same && !left)
    return failed(
      `there is another machine "${name}" on ${there.reach.name}`,
      'rename one of the two: `qward rename`',
    );
  const defined = await define(here, there, { name, source, replace: found.ok });
  if (!defined.ok) return defined;
  const undo = async (): Promise<void> => {
    // Where it arrived after all it is the machine.
    const now = await there.call('status', { name });
    if (!now.ok || now.result.moved?.kind === 'arrived') return;
    if (known?.ok === true && !same)
      await there.call('define', { source: known.result.source, replace: true });
    if (found.ok) return;
    const removed = await there.call('remove', { name });
    if (removed.ok && (await there.reach.uid()) !== 0) await (await there.claims()).unclaim(name, null);
  };
  return { ok: true, result: { undo: () => undo().catch(() => undefined) } };
}

async function define(
  here: QwardClient,
  there: QwardClient,
  { name, source, replace }: { readonly name: string; readonly source: string; readonly replace: boolean },
): Promise<Reply<unknown>> {
  if ((await there.reach.uid()) === 0) return await there.call('define', { source, replace });
  const files = await there.ownFiles();
  const { reply } = await files.takeOver({ source, replace }, await claimedHere(here, name));
  return reply;
}

/** What the user has claimed for the machine here; nothing of root's, who claims nothing. */
async function claimedHere(here: QwardClient, name: string): Promise<readonly ClaimedFile[]> {
  if ((await here.reach.uid()) === 0) return [];
  const listed = await (await here.claims()).claims(name);
  return listed.ok ? listed.result : [];
}
