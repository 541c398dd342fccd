/** What each call takes and gives, inferred from the contract. Types only: the schemas are never loaded by a client. */
import type { z } from 'zod';
import type { routes } from './contract.ts';

type Routes = typeof routes;
type Flat<Type> = { [Key in keyof Type]: Type[Key] };

type Params<Route> = Route extends { params: infer Schema extends z.ZodType } ? z.output<Schema> : unknown;
type Body<Route> = Route extends { body: infer Schema extends z.ZodType } ? z.input<Schema> : unknown;
/** A query is text on the wire: which keys may be left out is in the input, what they are in the output. */
type Query<Route> = Route extends { query: infer Schema extends z.ZodType }
  ? {
      [Key in keyof z.input<Schema>]: Key extends keyof z.output<Schema> ? z.output<Schema>[Key] : never;
    }
  : unknown;
type Result<Route> = Route extends { result: infer Schema extends z.ZodType } ? z.output<Schema> : never;

export type Calls = {
  [Name in keyof Routes]: {
    readonly input: Flat<Params<Routes[Name]> & Query<Routes[Name]> & Body<Routes[Name]>>;
    readonly result: Result<Routes[Name]>;
  };
};

export type StreamName = {
  [Name in keyof Routes]: Routes[Name] extends { stream: true } ? Name : never;
}[keyof Routes];
export type CallName = Exclude<keyof Routes, StreamName>;
export type CallInput<Name extends keyof Calls> = Calls[Name]['input'];
export type CallResult<Name extends CallName> = Calls[Name]['result'];

export type HistoryEntry = CallResult<'history'>[number];
export type { ConsoleNotice, FileNotice, MachineEvent } from './stream-messages.ts';
