/** How far the memory of machines is that are being saved or brought back, for the line of progress. */
import type { Context } from './context.ts';

const askEveryMs = 500;

/** Waits for the call of one machine, and tells meanwhile, in words, how far it is; nothing where there is nobody to see it. */
export async function withMemoryProgress<Result>(
  context: Context,
  name: string,
  call: Promise<Result>,
  tell: (text: string) => void,
): Promise<Result> {
  if (context.quiet || !context.io.isTerminal(2)) return await call;
  const ending = new AbortController();
  const asking = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, askEveryMs));
      if (ending.signal.aborted) return;
      const reply = await context.client
        .call('status', { name }, { signal: ending.signal })
        .catch(() => undefined);
      if (reply?.ok === true && reply.result.progress !== null)
        tell(` ${Math.floor(reply.result.progress.percent)} %`);
    }
  };
  void asking();
  try {
    return await call;
  } finally {
    ending.abort();
  }
}
