/**
 * What the manager sent, as the type that the contract promises. A client does not check it against the schemas: it
 * trusts its manager, and loading them would cost more than the call.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the type that the contract promises
export function parseTrusted<Type>(text: string): Type {
  return JSON.parse(text);
}
