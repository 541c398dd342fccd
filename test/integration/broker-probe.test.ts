/** What a look at files answers, and what of it the broker's log keeps. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { FileProbe, HeadSize } from '../../src/protocol/broker.ts';
import { startTestBroker, type TestBroker } from '../support/broker.ts';

async function look(
  broker: TestBroker,
  paths: readonly string[],
  head: HeadSize,
): Promise<readonly FileProbe[]> {
  const files = paths.map((path) => ({ path, access: 'ro' as const, claimant: null }));
  const reply = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine: 'one', paths: files, head });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

const headBytes = (probe: FileProbe | undefined): number =>
  probe?.ok === true ? Buffer.from(probe.head, 'base64').length : -1;

test('as much of a file is answered as was asked for, and of many files the least', async () => {
  await using broker = await startTestBroker();
  const path = `${broker.images}/disk`;
  writeFileSync(path, Buffer.alloc(20_000, 7));
  assert.deepEqual((await look(broker, [path], 1024)).map(headBytes), [1024]);
  assert.deepEqual((await look(broker, [path], 12_288)).map(headBytes), [12_288]);
  const many = Array.from({ length: 17 }, () => path);
  assert.deepEqual([...new Set((await look(broker, many, 12_288)).map(headBytes))], [1024]);
  for (const head of [0, 1025, 1_000_000, '1024', undefined])
    await assert.rejects(look(broker, [path], head as HeadSize), /without an answer/, String(head));
});

// SECURITY: promise 4. A manager that was taken over and looks for what it may not have leaves a trace that it cannot remove.
test('files that a look is refused are in the log, each reason once, and few of many', async () => {
  await using broker = await startTestBroker();
  const log = (): Record<string, unknown>[] =>
    readFileSync(`${broker.site.paths.brokerState}/broker.log`, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ call }) => call === 'probe');
  for (let round = 0; round < 3; round += 1)
    await look(broker, ['/etc/shadow', `${broker.images}/none`], 1024);
  assert.deepEqual(
    log().map(({ machine, ok, refusals, more }) => ({ machine, ok, refusals, more })),
    [
      {
        machine: 'one',
        ok: false,
        refusals: [
          { path: '/etc/shadow', code: 'policy-refused' },
          { path: `${broker.images}/none`, code: 'file-missing' },
        ],
        more: 0,
      },
    ],
  );
  writeFileSync(`${broker.images}/there`, '');
  await look(broker, [`${broker.images}/there`], 1024);
  assert.equal(log().length, 1, 'what is given is not told');
  await look(
    broker,
    Array.from({ length: 500 }, (_, index) => `/etc/${index}`),
    1024,
  );
  const flood = log()[1] as { readonly refusals: readonly unknown[]; readonly more: number };
  assert.deepEqual([flood.refusals.length, flood.more], [8, 492]);
  for (let first = 0; first < 4; first += 1)
    await look(
      broker,
      Array.from({ length: 500 }, (_, index) => `/etc/${first}-${index}`),
      1024,
    );
  assert.equal(log().length, 6);
});
