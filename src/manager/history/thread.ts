/** The thread that keeps the history: what waits for the disk waits here. One request at a time, in their order. */
import { parentPort, workerData } from 'node:worker_threads';
import { openHistoryDatabase, type HistoryDatabase } from './database.ts';
import { historyLimits } from './limits.ts';
import type { ThreadReply, ThreadRequest } from './messages.ts';

let database: HistoryDatabase | undefined;

function answer(request: ThreadRequest): ThreadReply {
  try {
    // A database that could not be opened is tried again with each request: there may be room on the disk by then.
    database ??= openHistoryDatabase(String(workerData), historyLimits);
    return { ok: true, result: resultOf(database, request), damaged: database.damaged };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

function resultOf(history: HistoryDatabase, request: ThreadRequest): unknown {
  if (request.ask === 'write') return history.write(request.entries, request.actions);
  return request.ask === 'entries' ? history.entries(request.filter) : history.actions(request.since);
}

parentPort?.on('message', (request: ThreadRequest | null) => {
  if (request !== null) {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    parentPort?.postMessage(answer(request));
    return;
  }
  // Nothing more comes: the thread ends with its port.
  database?.close();
  parentPort?.close();
});
