import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseMessage } from './parse-message.ts';

const parse = (line: string | Buffer): ReturnType<typeof parseMessage> =>
  parseMessage(typeof line === 'string' ? Buffer.from(line, 'utf8') : line);

function codeOf(line: string | Buffer): string {
  const parsed = parse(line);
  return parsed.ok ? parsed.message.kind : parsed.reason.code;
}

function valueOf(line: string): unknown {
  const parsed = parse(line);
  assert.ok(parsed.ok && parsed.message.kind === 'return', line);
  return parsed.message.value;
}

test('what QEMU 7.2 sends is read', () => {
  const greeting =
    '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r';
  assert.deepEqual(parse(greeting), {
    ok: true,
    message: { kind: 'greeting', version: { major: 7, minor: 2, micro: 22 } },
  });
  assert.deepEqual(parse('{"return": {"a": "\\u00E4"}, "id": "2"}\r'), {
    ok: true,
    message: { kind: 'return', id: '2', value: { a: 'ä' } },
  });
  assert.deepEqual(parse('{"id": "7", "error": {"class": "GenericError", "desc": "no \\u001B[31m red"}}\r'), {
    ok: true,
    message: { kind: 'error', id: '7', class: 'GenericError', description: 'no \ufffd[31m red' },
  });
  const shutdown =
    '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}\r';
  assert.deepEqual(parse(shutdown), {
    ok: true,
    message: { kind: 'event', event: { name: 'SHUTDOWN', guest: false, reason: 'host-qmp-quit' } },
  });
});

test('garbage is named for what it is', () => {
  const cases: readonly (readonly [string | Buffer, string])[] = [
    ['', 'not-json'],
    ['null', 'not-json'],
    ['[]', 'not-json'],
    ['"event"', 'not-json'],
    ['{"return":{},"id":"1"', 'not-json'],
    ['{"return":{},"id":"1"}{}', 'not-json'],
    ['\u0000{"return":{},"id":"1"}', 'not-json'],
    ['{"return":"a\u0000b","id":"1"}', 'not-json'],
    ['\ufeff{"return":{},"id":"1"}', 'not-json'],
    ['{"return":NaN,"id":"1"}', 'not-json'],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'not-utf8'],
    [Buffer.from('{"return":"\xc3","id":"1"}', 'latin1'), 'not-utf8'],
    [Buffer.from('{"return":"\xed\xa0\x80","id":"1"}', 'latin1'), 'not-utf8'],
    ['{}', 'not-qmp'],
    ['{"id":"1"}', 'not-qmp'],
    ['{"return":{},"error":{"class":"A","desc":"b"},"id":"1"}', 'not-qmp'],
    ['{"return":{},"event":"STOP","id":"1"}', 'not-qmp'],
    ['{"return":{}}', 'wrong-id'],
    ['{"return":{},"id":1}', 'wrong-id'],
    ['{"return":{},"id":null}', 'wrong-id'],
    ['{"error":{"class":"GenericError","desc":"JSON parse error"}}', 'wrong-id'],
    ['{"error":"no","id":"1"}', 'not-qmp'],
    ['{"QMP":{}}', 'not-qmp'],
    ['{"QMP":{"version":{"qemu":{"major":1e999,"minor":0,"micro":0}}}}', 'not-qmp'],
    ['{"event":"SHUTDOWN"}', 'not-qmp'],
    ['{"event":"BALLOON_CHANGE","data":{"actual":-1}}', 'not-qmp'],
    ['{"event":"a b"}', 'not-qmp'],
    [`{"event":"${'A'.repeat(65)}"}`, 'not-qmp'],
    ['{"constructor":{},"toString":{}}', 'not-qmp'],
    [`{"return":${'['.repeat(64)}${']'.repeat(64)},"id":"1"}`, 'nested-too-deep'],
  ];
  for (const [line, code] of cases) assert.equal(codeOf(line), code, line.toString());
});

test('64 levels are read', () => {
  assert.equal(codeOf(`{"return":${'['.repeat(63)}${']'.repeat(63)},"id":"1"}`), 'return');
});

test('no key of QEMU reaches a prototype', () => {
  for (const key of ['__proto__', String.raw`__\u0070roto__`, String.raw`\u005f\u005Fproto\u005f_`]) {
    assert.equal(codeOf(`{"return":{"a":[{"${key}":{"polluted":true}}]},"id":"1"}`), 'not-json', key);
    assert.equal(codeOf(`{"${key}":{"return":{}},"id":"1"}`), 'not-json', key);
  }
  assert.deepEqual(valueOf('{"return":"__proto__ in a text","id":"1"}'), '__proto__ in a text');
  assert.equal(codeOf('{"event":"constructor"}'), 'event');
});

test('of a key that comes twice the last counts, here as everywhere', () => {
  assert.equal(valueOf('{"id":"1","return":1,"return":2}'), 2);
});

test('huge numbers are read as what a double makes of them', () => {
  assert.equal(valueOf('{"return":1e999,"id":"1"}'), Infinity);
  assert.equal(valueOf(`{"return":1${'0'.repeat(50_000)},"id":"1"}`), Infinity);
});

test('no line makes the parser throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseMessage(Buffer.from(bytes));
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.json(), (text) => {
      parse(text);
    }),
  );
});
