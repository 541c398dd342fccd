/** `qward list --all-instances`: the host's machines and the caller's own, each with its instance. */
import type { CallResult } from '../api/calls.ts';
import { QwardClient, defaultSocketPath, type Reply } from '../api/client.ts';
import { TransportError } from '../api/http.ts';
import type { Context } from './context.ts';
import { socketOfSession, type ChosenSocket, type InstanceName } from './instance.ts';

type Summary = CallResult<'list'>[number] & { readonly instance: InstanceName };

/** One that does not answer is told of, and is no reason not to show the other. */
export async function listAll(context: Context): Promise<Reply<Summary[]>> {
  const session =
    process.getuid?.() === 0 ? [] : [listOf(context, 'session', socketOfSession(context.io, true))];
  const system = listOf(context, 'system', Promise.resolve({ socket: defaultSocketPath }));
  const lists = await Promise.all([system, ...session]);
  return { ok: true, result: lists.flat() };
}

async function listOf(
  context: Context,
  instance: InstanceName,
  choice: Promise<ChosenSocket>,
): Promise<readonly Summary[]> {
  const silent = (why: string): readonly Summary[] => {
    if (!context.quiet) context.warn(`qward: the ${instance} instance does not answer: ${why}\n`);
    return [];
  };
  const chosen = await choice;
  if ('fault' in chosen) return silent(chosen.fault.message);
  using client = new QwardClient({ socketPath: chosen.socket ?? defaultSocketPath });
  try {
    const reply = await client.call('list');
    if (!reply.ok) return silent(reply.faults.map(({ message }) => message).join('; '));
    return reply.result.map((machine) => ({ ...machine, instance }));
  } catch (error) {
    if (error instanceof TransportError) return silent(error.message);
    throw error;
  }
}
