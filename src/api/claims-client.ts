/**
 * The broker's second socket, over the caller's own connection: which files a machine may open with the caller's rights.
 * The manager has no part in it. A connection a request, framed as protocol/frame.ts says.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Refusal } from '../protocol/broker.ts';
import {
  maxClaimsOfMachine,
  type ClaimRequest,
  type ClaimResults,
  type ClaimReply,
  type ClaimedFile,
  type ClaimCall,
} from '../protocol/claims.ts';
import { encodeFrame, FrameReader, maxReplyBytes } from '../protocol/frame.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { networkNameExpected, networkNamePattern, type NetworkDefinition } from '../protocol/networks.ts';
import { pathsBelow, systemRoots } from '../protocol/paths.ts';
import { ownRuleText } from '../protocol/rules.ts';
import type { Reply } from './client.ts';
import { errorKinds, type ApiFault, type ErrorCode } from './errors.ts';
import { parseTrusted } from './json.ts';
import { localReach, type Reach } from './reach.ts';

export interface ClaimsClientOptions {
  /** Default /run/qward/claims.sock. */
  readonly socketPath?: string;
  /** Another way to the socket. */
  readonly reach?: Reach;
  /** Where keys of the policy stand, which the broker does not say; undefined where nobody tells. */
  readonly policy?: () => Promise<PolicyPlaces | undefined>;
}

export interface PolicyPlaces {
  readonly path: string;
  /** `line` null: the default. */
  readonly rows: readonly { readonly key: string; readonly line: number | null }[];
}

const deadlineMs = 15_000;
const retryMs = 10;
const queueFull = 'too many connect to it at once';

export class ClaimsClient {
  readonly #reach: Reach;
  readonly #name: string;
  readonly #policy: () => Promise<PolicyPlaces | undefined>;

  constructor({
    socketPath = pathsBelow(systemRoots).claimsSocket,
    reach,
    policy = () => Promise.resolve(undefined),
  }: ClaimsClientOptions = {}) {
    this.#policy = policy;
    this.#name = reach?.name ?? socketPath;
    this.#reach = reach ?? { ...localReach(socketPath), connect: () => connect(socketPath) };
  }

  /** All of the files or none: the machine may open them with the caller's rights. Paths are absolute. */
  claim(machine: string, files: readonly ClaimedFile[]): Promise<Reply<ClaimResults['claim']>> {
    const plain = files.map(({ path, access }) => ({ path, access }));
    return this.#ask({ v: 1, call: 'claim', machine, files: plain });
  }

  /** Claims for `machine` what the caller claimed for `like`. */
  claimLike(machine: string, like: string): Promise<Reply<ClaimResults['claim-like']>> {
    return this.#ask({ v: 1, call: 'claim-like', machine, like });
  }

  /** Takes back the claims of these paths, or of all; gives those that there were. */
  unclaim(machine: string, paths: readonly string[] | null): Promise<Reply<ClaimResults['unclaim']>> {
    return this.#ask({ v: 1, call: 'unclaim', machine, paths });
  }

  /** The caller's claims for the machine, or for every machine; root's view is of everybody's. */
  claims(machine: string | null): Promise<Reply<ClaimResults['claims']>> {
    return this.#ask({ v: 1, call: 'claims', machine });
  }

  /** The machine starts with the host from now on. Of administrators alone. */
  enableAutostart(machine: string): Promise<Reply<ClaimResults['autostart-on']>> {
    return this.#ask({ v: 1, call: 'autostart-on', machine });
  }

  /** Makes a managed network. Of administrators alone. */
  createNetwork({ name, subnet, mode, who }: NetworkDefinition): Promise<Reply<NetworkDefinition>> {
    return this.#ask({ v: 1, call: 'network-create', network: { name, subnet, mode, who } });
  }

  /** Removes one that no machine uses. Of administrators alone. */
  removeNetwork(name: string): Promise<Reply<NetworkDefinition>> {
    return this.#ask({ v: 1, call: 'network-remove', name });
  }

  async #ask<Call extends ClaimCall>(
    request: ClaimRequest & { readonly call: Call },
  ): Promise<Reply<ClaimResults[Call]>> {
    const wrong = unsendable(request);
    if (wrong !== undefined) return failure('request-invalid', wrong, '');
    const body = await exchange(this.#reach, encodeFrame(request));
    if (typeof body === 'string') return unreachable(`the broker does not answer on ${this.#name}: ${body}`);
    let reply: ClaimReply<Call>;
    try {
      reply = parseTrusted<ClaimReply<Call>>(body.toString('utf8'));
    } catch {
      return unreachable(`the broker's answer on ${this.#name} is not JSON`);
    }
    if (reply.ok) return { ok: true, result: reply.result };
    const byPolicy = reply.refusals.some(({ rule }) => rule !== undefined && ownRuleText(rule) === undefined);
    return refused(reply.refusals, byPolicy ? await this.#policy() : undefined);
  }
}

/** The body of the answer, or why there is none. */
async function exchange(reach: Reach, frame: Buffer): Promise<Buffer | string> {
  const giveUpAt = performance.now() + deadlineMs;
  for (;;) {
    const outcome = await exchangeOnce(reach, frame);
    // SECURITY: rule manager. Who connects without end fills the socket's queue (EAGAIN) again and again, and never for long.
    if (outcome !== queueFull || performance.now() > giveUpAt) return outcome;
    await delay(retryMs);
  }
}

function exchangeOnce(reach: Reach, frame: Buffer): Promise<Buffer | string> {
  return new Promise((resolve) => {
    const reader = new FrameReader(maxReplyBytes);
    const socket = reach.connect('claims');
    const settle = (outcome: Buffer | string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle(`nothing within ${deadlineMs / 1000} s`), deadlineMs);
    socket.on('data', (piece: Buffer) => {
      try {
        const body = reader.push(piece);
        if (body !== undefined) settle(body);
      } catch (error) {
        settle(error instanceof Error ? error.message : 'no frame');
      }
    });
    socket.on('error', (error) =>
      settle(Reflect.get(error, 'code') === 'EAGAIN' ? queueFull : error.message),
    );
    socket.on('close', () => settle('the connection was closed'));
    socket.write(frame);
  });
}

function refused(refusals: readonly Refusal[], policy: PolicyPlaces | undefined): Reply<never> {
  const faults = refusals.map(({ code, ...refusal }): ApiFault => ({
    ...refusal,
    ...(refusal.rule === undefined ? {} : { ruleAt: ruleText(refusal.rule, policy) }),
    code: isErrorCode(code) ? code : 'broker-refused',
  }));
  const [first] = faults;
  return { ok: false, status: errorKinds[first?.code ?? 'internal'].status, faults };
}

/** As the manager says where a rule stands. */
function ruleText(rule: string, policy: PolicyPlaces | undefined): string {
  const own = ownRuleText(rule);
  if (own !== undefined) return own;
  const row = policy?.rows.find(({ key }) => key === rule);
  if (policy === undefined || row === undefined) return `the policy (${rule})`;
  return row.line === null
    ? `default of ${policy.path} (${rule})`
    : `${policy.path} line ${row.line} (${rule})`;
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorKinds, code);

/** What the broker would end the connection for, unanswered. */
function unsendable(request: ClaimRequest): string | undefined {
  const names = [
    'machine' in request ? (request.machine ?? 'any') : 'any',
    'like' in request ? request.like : 'any',
  ];
  const name = names.find((one) => !machineNamePattern.test(one));
  if (name !== undefined) return `"${name}" is no name of a machine`;
  const network = 'network' in request ? request.network.name : 'name' in request ? request.name : 'any';
  if (!networkNamePattern.test(network))
    return `"${network}" is no name of a network: ${networkNameExpected}`;
  const paths = 'files' in request ? request.files : 'paths' in request ? (request.paths ?? []) : [];
  if (paths.length > maxClaimsOfMachine)
    return `${paths.length} paths at once; at most ${maxClaimsOfMachine} expected`;
  return undefined;
}

function unreachable(message: string): Reply<never> {
  return failure(
    'broker-unreachable',
    message,
    'Start it: systemctl start qward-broker.socket, or without systemd: qward host up.',
  );
}

function failure(code: ErrorCode, message: string, hint: string): Reply<never> {
  return { ok: false, status: errorKinds[code].status, faults: [{ code, message, hint }] };
}
