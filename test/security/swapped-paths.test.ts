/** Promises 1 and 4: a path that is swapped for a link while the broker opens it gives what it is, or rule `no-links`. Needs root. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { FileProbe } from '../../src/protocol/broker.ts';
import { startTestBroker } from '../support/broker.ts';
import { startSwapper } from '../support/swapper.ts';

const rounds = 100_000;
const atOnce = 500;

for (const [what, path] of [
  ['a file', 'plain'],
  ['a directory', 'real/shadow'],
] as const)
  test(`${what} beneath a storage root, swapped for a link to a secret while it is looked at ${rounds} times`, async () => {
    await using broker = await startTestBroker();
    const { images } = broker;
    mkdirSync(`${images}/real`);
    for (const own of ['plain', 'real/shadow']) writeFileSync(`${images}/${own}`, 'mine');
    symlinkSync('/etc/shadow', `${images}/trap`);
    symlinkSync('/etc', `${images}/way`);
    const [one, other] = path === 'plain' ? ['plain', 'trap'] : ['real', 'way'];
    await using swapper = await startSwapper(`${images}/${one}`, `${images}/${other}`);
    const file = { path: `${images}/${path}`, access: 'ro', claimant: null } as const;
    const paths = Array.from({ length: atOnce }, () => file);
    const counts: Record<string, number> = {};
    for (let looked = 0; looked < rounds; looked += atOnce) {
      const reply = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine: 'one', paths, head: 1024 });
      assert.ok(reply.ok, JSON.stringify(reply));
      for (const probe of reply.result) {
        const found = probe.ok ? Buffer.from(probe.head, 'base64').toString() : probe.refusal.rule;
        counts[String(found)] = (counts[String(found)] ?? 0) + 1;
      }
    }
    assert.ok(swapper.goesOn());
    assert.deepEqual(Object.keys(counts).toSorted(), ['mine', 'no-links']);
  });
