/** What a QMP peer may cost the manager. QEMU is assumed to be in the hands of its guest. */

/** A line longer than this ends the session, checked while its bytes arrive. */
export const maxLineBytes = 1024 * 1024;
/** Nesting of objects and arrays, checked before JSON.parse, in what QEMU sends and in what is sent to it. */
export const maxDepth = 64;
/** A line that has begun must be whole after this long, however slowly its bytes drip in. */
export const maxLineMs = 30_000;
/** Commands that were sent and not answered, those among them whose deadline has passed. */
export const maxOutstanding = 64;
/** More commands than this without an answer in time, one after the other, end the session. */
export const maxTimeoutsInARow = 8;
/** One command with its arguments. */
export const maxCommandBytes = 256 * 1024;
/** What may wait in memory for a QEMU that does not read. */
export const maxUnsentBytes = 1024 * 1024;
/** Different events that wait for their reader; equal ones are counted. */
export const maxQueuedEvents = 128;
/** Text of QEMU's that is kept: descriptions of errors, names in events. */
export const maxTextLength = 4096;
export const maxNameLength = 256;

/** What may be read at once, and each second on average; beyond it reading rests, and QEMU keeps its own backlog. */
export const readBudget = {
  bytes: { burst: 2 * 1024 * 1024, perSecond: 4 * 1024 * 1024 },
  events: { burst: 2_000, perSecond: 5_000 },
  /** Our own time spent on what was read: however costly QEMU makes a byte, it gets a tenth of one CPU. */
  busyMs: { burst: 200, perSecond: 100 },
} as const;
/** The longest rest; what is owed beyond it is forgiven, since a deadline of ours runs meanwhile. */
export const maxRestMs = 2_000;
