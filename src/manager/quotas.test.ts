/** What is kept of machines' memories counts in the quota of their owner, also while it is being written. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDefinition } from '../definition/parse.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { defaultPolicy } from '../policy/policy.ts';
import { success, type Outcome } from './outcome.ts';
import { Quotas, type CountedMachine } from './quotas.ts';
import { createKeptBytes } from './saved/kept-bytes.ts';

const MiB = 1024 ** 2;
const alice = 1000;

function define(name: string): MachineDefinition {
  const parsed = parseDefinition(`name: ${name}\nmemory: 128MiB\n`);
  assert.ok(parsed.ok);
  return parsed.definition;
}
const [web, shop] = [define('web'), define('shop')];

function quotasOf(managerState: string, disk: number): Quotas {
  const quota = { who: { users: ['alice'], groups: [] }, machines: null, cpus: null, memory: null, disk };
  const machine = (definition: MachineDefinition): CountedMachine => ({
    name: definition.name,
    record: {
      name: definition.name,
      definition,
      revision: 'r',
      metadata: { version: 2, owner: alice, definedAt: '', grants: [] },
    },
    state: 'running',
    starting: null,
    run: undefined,
  });
  return new Quotas({
    machines: () => [machine(web), machine(shop)],
    owner: () =>
      success({
        ownerUid: alice,
        name: 'alice',
        ownerIsAdministrator: false,
        policy: { ...defaultPolicy, quotas: [quota] },
        person: { name: 'alice', isIn: () => false },
      }),
    diskBytes: () => Promise.resolve(0),
    scratch: { bytesOf: () => 0 },
    keptBytes: createKeptBytes(managerState),
  });
}

async function inState(work: (managerState: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-quotas-'));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const done = (): Promise<Outcome<string>> => Promise.resolve(success('kept'));
const codeOf = (outcome: Outcome<unknown>): string => (outcome.ok ? '' : (outcome.faults[0]?.rule ?? '?'));

test('snapshots and saved states of all machines of an owner count, whole or not', async () => {
  await inState(async (managerState) => {
    const quotas = quotasOf(managerState, 100 * MiB);
    const keep = (bytes: number): Promise<Outcome<string>> =>
      quotas.whileKeeping({ owner: alice, definition: web, bytes }, done);
    assert.ok((await keep(100 * MiB)).ok);
    assert.equal(codeOf(await keep(101 * MiB)), 'quotas[0]');
    for (const place of ['snapshots/web', 'saved/shop']) {
      mkdirSync(`${managerState}/${place}`, { recursive: true });
      writeFileSync(`${managerState}/${place}/memory-0011223344556677.zst`, Buffer.alloc(30 * MiB));
    }
    assert.ok((await keep(40 * MiB)).ok);
    assert.equal(codeOf(await keep(41 * MiB)), 'quotas[0]');
    const own = await quotas.of(alice);
    assert.ok(own.ok);
    assert.equal(own.value?.used.disk, 60 * MiB);
  });
});

test('of several that are kept at once each counts with all others, and no longer than it is written', async () => {
  await inState(async (managerState) => {
    const quotas = quotasOf(managerState, 100 * MiB);
    let kept = 0;
    const keep = (definition: MachineDefinition): Promise<Outcome<string>> =>
      quotas.whileKeeping({ owner: alice, definition, bytes: 60 * MiB }, async () => {
        kept += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
        return success('kept');
      });
    const both = await Promise.all([keep(web), keep(shop)]);
    assert.equal(kept, 1, 'two of 60 MiB are not kept at once within 100 MiB');
    assert.deepEqual(both.map(codeOf), ['', 'quotas[0]']);
    assert.ok((await keep(web)).ok);
  });
});
