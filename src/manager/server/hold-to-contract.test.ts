import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Fastify from 'fastify';
import { documents, routes, type Route } from '../../api/contract.ts';
import { holdToContract } from './hold-to-contract.ts';

const handler = (): string => '';

test('routes of the table are taken, and one more, of whatever kind, keeps the server from being made', () => {
  const app = Fastify();
  holdToContract(app);
  const options = { exposeHeadRoute: false, handler };
  for (const { method, path } of Object.values<Route>(routes)) app.route({ method, url: path, ...options });
  for (const { path } of Object.values(documents)) app.route({ method: 'GET', url: path, ...options });
  const none = /is not in the contract, and so has no right/;
  assert.throws(() => app.get('/v1/secrets', handler), none);
  assert.throws(() => app.get('/v1/machines/:name/*', handler), none);
  assert.throws(() => app.route({ method: ['GET', 'TRACE'], url: '/v1/more', handler }), none);
  // What Fastify adds by itself is a route as well.
  const other = Fastify();
  holdToContract(other);
  assert.throws(() => other.get(documents.metrics.path, handler), none);
});

test('the server is held to it before its first route', () => {
  const source = readFileSync(join(import.meta.dirname, 'create-server.ts'), 'utf8');
  assert.match(source, /^ {2}holdToContract\(app\);[^]*\bapp\.route\(/m);
});
