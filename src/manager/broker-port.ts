/** What the manager asks of the broker, whoever answers: the real one (broker-client.ts), or a test's. */
import type {
  BrokerCall,
  BrokerRequest,
  BrokerStatus,
  DirectoryListing,
  FileIdentity,
  FileProbe,
  LaunchedMachine,
  ProcessFacts,
} from '../protocol/broker.ts';
import type { Fault } from '../definition/fault.ts';
import type { Outcome } from './outcome.ts';

/** It may have died half-way, or never have seen what it was asked; else it refused. */
export const gaveNoAnswer = (faults: readonly Pick<Fault, 'code'>[]): boolean =>
  faults.some(({ code }) => code === 'broker-unreachable' || code === 'timed-out');

/** What the broker answers to each call. */
export interface BrokerResults {
  readonly launch: LaunchedMachine;
  readonly kill: { readonly killed: boolean };
  readonly reap: unknown;
  readonly pin: unknown;
  readonly inspect: ProcessFacts;
  readonly 'inspect-pid': ProcessFacts;
  readonly probe: readonly FileProbe[];
  readonly open: FileIdentity;
  readonly status: BrokerStatus;
  /** Lines of the broker's log, oldest first. */
  readonly history: readonly string[];
  readonly forget: unknown;
  readonly 'autostart-off': { readonly disabled: boolean };
  readonly rename: unknown;
  readonly part: unknown;
  readonly 'list-directory': DirectoryListing;
}

export type RequestOf<Call extends BrokerCall> = Omit<Extract<BrokerRequest, { call: Call }>, 'v' | 'call'>;

/** A file that the broker opened; whoever asked for it closes the descriptor. */
export interface OpenedFile extends FileIdentity {
  readonly descriptor: number;
}

export interface BrokerPort {
  /** `open`, whose answer brings a descriptor. */
  readonly open: (request: RequestOf<'open'>) => Promise<Outcome<OpenedFile>>;
  /** The broker's refusals, or broker-unreachable, come as faults. Ends within the call's deadline. */
  readonly call: <Call extends BrokerCall>(
    call: Call,
    request: RequestOf<Call>,
  ) => Promise<Outcome<BrokerResults[Call]>>;
}
