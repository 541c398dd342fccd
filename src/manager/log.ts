/** The manager's own log: one JSON object a line, to stderr, where journald or a file picks it up. */

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Text that a guest or a user chose, fit for a log line: one line, no control characters, at most `limit` characters. */
export function capText(text: string, limit = 500): string {
  const plain = text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return plain.length <= limit ? plain : `${plain.slice(0, limit)}… (${plain.length - limit} more)`;
}

export function createLog(write: (line: string) => void, now: () => Date): Log {
  const line = (level: string, message: string, fields: LogFields = {}): void => {
    write(`${JSON.stringify({ at: now().toISOString(), level, message, ...describeErrors(fields) })}\n`);
  };
  return {
    info: (message, fields) => {
      line('info', message, fields);
    },
    warn: (message, fields) => {
      line('warn', message, fields);
    },
    error: (message, fields) => {
      line('error', message, fields);
    },
  };
}

/** An Error has no enumerable fields and would print as `{}`. */
function describeErrors(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? (value.stack ?? value.message) : value,
    ]),
  );
}
