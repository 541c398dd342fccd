/** Calls that define machines: with claims for the files that the user named, but for root. */
import type { Reply } from '../api/client.ts';
import type { OwnFiles, Owned } from '../api/own-files.ts';
import type { Context } from './context.ts';

/** Root never claims: its rights are given by the policy alone. On another host it counts who one is there. */
export const claimsNothing = async ({ client }: Context): Promise<boolean> =>
  (await client.reach.uid()) === 0;

export async function withClaims<Result>(
  context: Context,
  plain: () => Promise<Reply<Result>>,
  owned: (files: OwnFiles) => Promise<Owned<Result>>,
): Promise<Owned<Result>> {
  if (await claimsNothing(context)) return { reply: await plain(), notes: [] };
  return await owned(await context.client.ownFiles());
}

/** The result with what changed among the user's claims as further notes. */
export function withNotes<Result extends { readonly notes: readonly string[] }>({
  reply,
  notes,
}: Owned<Result>): Reply<Result> {
  return reply.ok
    ? { ok: true, result: { ...reply.result, notes: [...reply.result.notes, ...notes] } }
    : reply;
}

/** What the user has named for the machine before; nothing for root, who claims nothing. */
export async function ownPaths(context: Context, machine: string): Promise<ReadonlySet<string>> {
  if (await claimsNothing(context)) return new Set();
  const listed = await (await context.client.claims()).claims(machine);
  return new Set(listed.ok ? listed.result.map(({ path }) => path) : []);
}
