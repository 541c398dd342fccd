/** Why a session ended, or never began. */
export interface EndReason {
  readonly code: EndCode;
  /** For a person: what QEMU did, what was expected. */
  readonly message: string;
}

export type EndCode =
  /** We ended it: the session was disposed of, or the signal given to `open` fired. */
  | 'disposed'
  | 'aborted'
  /** QEMU closed its end: usually it is gone. */
  | 'peer-closed'
  | 'transport-failed'
  /** Silence: no greeting, a line never finished, commands not answered. */
  | 'greeting-timed-out'
  | 'line-stalled'
  | 'unresponsive'
  /** Garbage. */
  | 'line-too-long'
  | 'not-utf8'
  | 'nested-too-deep'
  | 'not-json'
  | 'not-qmp'
  | 'wrong-id'
  /** QEMU answered `qmp_capabilities` with an error. */
  | 'negotiation-refused';
