/** What the manager asks of the broker, whoever answers: the real one (broker-client.ts), or a test's. */
import type {
  BrokerCall,
  BrokerRequest,
  BrokerStatus,
  DirectoryListing,
  FileProbe,
  LaunchedMachine,
  ProcessFacts,
} from '../protocol/broker.ts';
import type { Outcome } from './outcome.ts';

/** What the broker answers to each call. */
export interface BrokerResults {
  readonly launch: LaunchedMachine;
  readonly kill: { readonly killed: boolean };
  readonly reap: unknown;
  readonly pin: unknown;
  readonly inspect: ProcessFacts;
  readonly 'inspect-pid': ProcessFacts;
  readonly probe: readonly FileProbe[];
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

export interface BrokerPort {
  /** The broker's refusals, or broker-unreachable, come as faults. Ends within the call's deadline. */
  readonly call: <Call extends BrokerCall>(
    call: Call,
    request: RequestOf<Call>,
  ) => Promise<Outcome<BrokerResults[Call]>>;
}
