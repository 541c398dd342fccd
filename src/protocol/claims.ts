/**
 * The messages of the broker's second socket, open to every user: what files a user lets a machine open with the user's own
 * rights. Who asks is the kernel's word (SO_PEERCRED), never part of a message. Framed as the other socket: one request,
 * one reply on a connection; what is not one of these ends the connection unanswered.
 */
import type { Refusal } from './broker.ts';
import type { NetworkDefinition } from './networks.ts';

export type ClaimRequest =
  /** Records that `machine` may open each of these with the caller's rights. All of them or none. */
  | {
      readonly v: 1;
      readonly call: 'claim';
      readonly machine: string;
      readonly files: readonly ClaimedFile[];
    }
  /** Records for `machine` what the caller claimed for `like`: for clones, whose files the caller named before. */
  | { readonly v: 1; readonly call: 'claim-like'; readonly machine: string; readonly like: string }
  /** Takes back the caller's claims for the machine: those of these paths, or all. */
  | {
      readonly v: 1;
      readonly call: 'unclaim';
      readonly machine: string;
      readonly paths: readonly string[] | null;
    }
  /**
   * Records that `machine` is started with the host. Of administrators alone; taken back by the manager for whoever may
   * stop the machine (`autostart-off` on the other socket).
   */
  | { readonly v: 1; readonly call: 'autostart-on'; readonly machine: string }
  /** Makes a managed network. Of administrators alone, as is removing one: it must not be in use. */
  | { readonly v: 1; readonly call: 'network-create'; readonly network: NetworkDefinition }
  | { readonly v: 1; readonly call: 'network-remove'; readonly name: string }
  /** The caller's claims, root's view is of all; of one machine, or of every. */
  | { readonly v: 1; readonly call: 'claims'; readonly machine: string | null };

export type ClaimCall = ClaimRequest['call'];

export interface ClaimedFile {
  readonly path: string;
  readonly access: 'ro' | 'rw';
}

export interface Claim extends ClaimedFile {
  readonly machine: string;
  readonly uid: number;
  /** ISO 8601. */
  readonly at: string;
}

export interface ClaimResults {
  /** In the order of the request. `by-policy`: the policy gives it to every machine of an administrator; nothing was recorded. */
  readonly claim: readonly { readonly path: string; readonly outcome: 'claimed' | 'known' | 'by-policy' }[];
  readonly 'claim-like': readonly ClaimedFile[];
  readonly unclaim: readonly ClaimedFile[];
  readonly claims: readonly Claim[];
  readonly 'network-create': NetworkDefinition;
  readonly 'network-remove': NetworkDefinition;
  readonly 'autostart-on': { readonly outcome: 'enabled' | 'known' };
}

export type ClaimReply<Call extends ClaimCall> =
  | { readonly ok: true; readonly result: ClaimResults[Call] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** Of one user for one machine, and of one user in all: the register stays small whatever a user sends. */
export const maxClaimsOfMachine = 256;
export const maxClaimsOfUser = 4096;
/** All paths of one user together, in bytes of UTF-8. */
export const maxClaimBytesOfUser = 1024 * 1024;
/** Machines that start with the host, of all administrators together: the status tells each of them. */
export const maxAutostart = 4096;
