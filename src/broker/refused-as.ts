/** The one place where an errno of a system call becomes a refusal; what is no errno is thrown on. */
import { errorCode } from '../linux/errno.ts';
import type { Refusal } from '../protocol/broker.ts';

export function refusedAs<Opened = number>(
  open: () => Opened,
  explain: (code: string, error: unknown) => Refusal,
): Opened | Refusal {
  try {
    return open();
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    return explain(code, error);
  }
}
