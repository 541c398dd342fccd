/** A promise with what settles it: Promise.withResolvers, which Node 20, where the client runs too, has not. */
export function deferred<Value>(): PromiseWithResolvers<Value> {
  let resolve: PromiseWithResolvers<Value>['resolve'] | undefined;
  let reject: PromiseWithResolvers<Value>['reject'] | undefined;
  const promise = new Promise<Value>((...settlers) => {
    [resolve, reject] = settlers;
  });
  if (resolve === undefined || reject === undefined) throw new Error('a promise calls its executor at once');
  return { promise, resolve, reject };
}
