import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseFault, ResponseReader, type HttpResponse } from './http-response.ts';

const limits = { headBytes: 200, bodyBytes: 50 };

/** The response from pieces of `size` bytes; undefined where it is not complete. */
function read(text: string, size = text.length): HttpResponse | undefined {
  const bytes = Buffer.from(text, 'latin1');
  const reader = new ResponseReader(limits);
  for (let at = 0; at < bytes.length; at += size) {
    const response = reader.push(bytes.subarray(at, at + size));
    if (response !== undefined) return response;
  }
  return undefined;
}

const good: Readonly<Record<string, readonly [string, number, string, boolean]>> = {
  'content-length': ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200, 'hello', true],
  'an empty body': ['HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n', 404, '', true],
  'no body at all': ['HTTP/1.1 204 No Content\r\n\r\n', 204, '', true],
  chunks: [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n',
    200,
    'hello',
    true,
  ],
  'an interim response first': [
    'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    true,
  ],
  'connection: close': [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
    false,
  ],
};

for (const [name, [text, status, body, keepAlive]] of Object.entries(good)) {
  test(`reads ${name}, however it is cut`, () => {
    for (let size = 1; size <= text.length; size += 1) {
      const response = read(text, size);
      assert.deepEqual(
        [response?.status, response?.body.toString(), response?.keepAlive],
        [status, body, keepAlive],
        `pieces of ${size}`,
      );
    }
  });
}

test('without a length the body ends with the connection', () => {
  const reader = new ResponseReader(limits);
  assert.equal(reader.push(Buffer.from('HTTP/1.1 200 OK\r\n\r\nhel')), undefined);
  assert.equal(reader.push(Buffer.from('lo')), undefined);
  assert.equal(reader.end().body.toString(), 'hello');
});

const wrong: Readonly<Record<string, string>> = {
  'what is not HTTP': 'SSH-2.0-OpenSSH\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
  'a length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
  'another coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n',
  'a negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  'a header without a name': 'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
  'a chunk without a size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  'a chunk longer than announced': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n',
  'bytes behind the response': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab',
  'headers without end': `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(300)}`,
  'a body above the limit': 'HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n',
  'chunks above the limit': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n${'x'.repeat(64)}`,
  'an endless chunk line': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'1'.repeat(2000)}`,
};

for (const [name, text] of Object.entries(wrong))
  test(`refuses ${name}`, () => assert.throws(() => read(text), ResponseFault));

test('a connection that closes in the middle is a fault', () => {
  const reader = new ResponseReader(limits);
  reader.push(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel'));
  assert.throws(() => reader.end(), ResponseFault);
});
