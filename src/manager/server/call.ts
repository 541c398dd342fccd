/** What a handler of an API call is given, and what it gives back; typed by the contract. */
import type { z } from 'zod';
import type { routes } from '../../api/contract.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';

type Routes = typeof routes;
type Parsed<Route, Part extends string> = Route extends {
  readonly [Key in Part]: infer Schema extends z.ZodType;
}
  ? z.output<Schema>
  : undefined;

export type StreamName = {
  [Name in keyof Routes]: Routes[Name] extends { stream: true } ? Name : never;
}[keyof Routes];
export type CallName = Exclude<keyof Routes, StreamName>;

export interface Call<Name extends keyof Routes> {
  /** Who calls, as the kernel knows. */
  readonly identity: Identity;
  /** The machine that the path names: the caller has the right of the contract's row on it. */
  readonly machine: Parsed<Routes[Name], 'params'> extends { readonly name: string } ? Machine : undefined;
  readonly params: Parsed<Routes[Name], 'params'>;
  readonly query: Parsed<Routes[Name], 'query'>;
  readonly body: Parsed<Routes[Name], 'body'>;
  /** Fires when the caller goes away. */
  readonly closed: () => AbortSignal;
}

/** A Buffer is JSON that was made before. */
export type Answer<Name extends CallName> = Outcome<Parsed<Routes[Name], 'result'> | Buffer>;
export type Handler<Name extends CallName> = (call: Call<Name>) => Promise<Answer<Name>> | Answer<Name>;
export type Handlers = { readonly [Name in CallName]: Handler<Name> };
