/** After a move whose end was not heard: the other manager is asked, and this one told. */
import type { CallResult } from '../../api/calls.ts';
import type { QwardClient, Reply } from '../../api/client.ts';
import { TransportError } from '../../api/http.ts';

/** A manager that is started anew is there again soon. */
export const patienceMs = 20_000;
export const retryMs = 500;

/** Tries again while the manager does not answer, or its broker. */
export async function untilAnswered<Result>(call: () => Promise<Reply<Result>>): Promise<Reply<Result>> {
  const giveUpAt = Date.now() + patienceMs;
  for (;;) {
    try {
      const reply = await call();
      const away = !reply.ok && reply.faults.some(({ code }) => code === 'broker-unreachable');
      if (!away || Date.now() > giveUpAt) return reply;
    } catch (error) {
      if (!(error instanceof TransportError) || Date.now() > giveUpAt) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/**
 * Says to the manager here what the one there answers: whether it arrived. Throws TransportError where one of them cannot be
 * reached. Only a plain yes or no counts: an account that does not see the machine there knows nothing of it.
 */
export async function settle(
  here: Pick<QwardClient, 'call'>,
  there: Pick<QwardClient, 'call'>,
  { name, token }: { readonly name: string; readonly token: string },
): Promise<Reply<{ readonly arrived: boolean }>> {
  const asked = await untilAnswered<CallResult<'settleMove'>>(() =>
    there.call('settleMove', { name, token, verdict: 'ask' }),
  );
  if (!asked.ok) return unknownThere(asked, name);
  const { arrived } = asked.result;
  const told = await untilAnswered(() =>
    here.call('settleMove', { name, token, verdict: arrived ? 'gone' : 'keep' }),
  );
  return told.ok ? { ok: true, result: { arrived } } : told;
}

/** A machine that is not there, under this name, may have been renamed there, and run. */
function unknownThere(
  asked: Extract<Reply<never>, { ok: false }>,
  name: string,
): Extract<Reply<never>, { ok: false }> {
  if (!asked.faults.some(({ code }) => code === 'machine-unknown')) return asked;
  return {
    ok: false,
    status: 409,
    faults: [
      {
        code: 'migration-undecided',
        message: `whether machine "${name}" runs on the other host is not sure: there is none of that name there by now`,
        hint: `look what became of it there; then \`qward migrate --keep ${name}\` where it does not run there, \`qward migrate --gone ${name}\` where it does`,
      },
    ],
  };
}
