/** No route beside the table of rights. */
import type { FastifyInstance } from 'fastify';
import { documents, routes, type Route } from '../../api/contract.ts';

/** SECURITY: promise 4. A route that is not in the table, and so has no right, keeps the server from being made. */
export function holdToContract(app: FastifyInstance): void {
  const known = new Set([
    ...Object.values<Route>(routes).map(({ method, path }) => `${method} ${path}`),
    ...Object.values(documents).map(({ path }) => `GET ${path}`),
  ]);
  app.addHook('onRoute', ({ method, url }) => {
    const unknown = [method].flat().find((one) => !known.has(`${one} ${url}`));
    if (unknown !== undefined)
      throw new Error(`${unknown} ${url} is not in the contract, and so has no right that it needs`);
  });
}
