import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callRequest } from './call-request.ts';
import { endpoints } from './endpoints.ts';

test('a name goes into the path, encoded', () => {
  assert.deepEqual(callRequest(endpoints.status, { name: 'a/../b c' }), {
    path: '/v1/machines/a%2F..%2Fb%20c',
  });
});

test('what is left goes into the query of a GET or DELETE', () => {
  assert.deepEqual(callRequest(endpoints.remove, { name: 'web', disks: true, force: undefined }), {
    path: '/v1/machines/web?disks=true',
  });
});

test('what is left goes into the body of a POST or PUT', () => {
  assert.deepEqual(callRequest(endpoints.stop, { name: 'web', timeoutMs: 5 }), {
    path: '/v1/machines/web/stop',
    body: '{"timeoutMs":5}',
  });
});

test('nothing left is no body', () => {
  assert.deepEqual(callRequest(endpoints.start, { name: 'web' }), { path: '/v1/machines/web/start' });
});
