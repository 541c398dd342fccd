export type CommandResult<Value> = { readonly ok: true; readonly value: Value } | CommandFailure;

export interface CommandFailure {
  readonly ok: false;
  readonly code: CommandFailureCode;
  /** QEMU's own class of the error, `GenericError` mostly; with `qmp-error` only. */
  readonly class?: string;
  readonly message: string;
}

export type CommandFailureCode =
  /** QEMU refused; the message is its own, made printable. */
  | 'qmp-error'
  /** No answer in time. QEMU may still carry it out. */
  | 'timed-out'
  /** The session ended before the answer. After `quit` that is success as well. */
  | 'session-ended'
  /** Nothing was sent: too many commands wait for QEMU already. */
  | 'busy'
  /** Nothing was sent: QEMU could not read such a command. */
  | 'refused'
  /** The answer does not have the form that QEMU's schema promises. */
  | 'malformed';
