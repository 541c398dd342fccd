/** What the package @qward/client exports. */
export { QwardClient, defaultSocketPath } from '../../src/api/client.ts';
export type { CallOptions, ClientOptions, Reply } from '../../src/api/client.ts';
export type {
  CallInput,
  CallName,
  CallResult,
  Calls,
  ConsoleNotice,
  MachineEvent,
} from '../../src/api/calls.ts';
export type { ApiFault, ErrorCode } from '../../src/api/errors.ts';
export type { DefineInput, OwnFiles, Owned } from '../../src/api/own-files.ts';
export { TransportError } from '../../src/api/http.ts';
export type { Connection, Reach, SocketName } from '../../src/api/reach.ts';
export type { ConsoleMessage, ConsoleStream, EventStream } from '../../src/api/streams.ts';
export { RunFault } from '../../src/api/throwaway/run-fault.ts';
export type { RunOptions } from '../../src/api/throwaway/open-throwaway.ts';
export type { ThrowawayNotice } from '../../src/api/stream-messages.ts';
export type { CommandWish, TerminalSize } from '../../src/api/throwaway/frames.ts';
export type { CommandExit, RunningCommand } from '../../src/api/throwaway/running-command.ts';
export type { ExecOptions, ExecResult, ThrowawayMachine } from '../../src/api/throwaway/throwaway-machine.ts';
export type { VncMessage, VncStream } from '../../src/api/vnc-stream.ts';
