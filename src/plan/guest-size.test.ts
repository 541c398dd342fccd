import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestSize } from './guest-size.ts';
import { planOf } from './sample-facts.ts';

const mib = 1024 ** 2;
const sizeOf = (yaml: string): ReturnType<typeof guestSize> => guestSize(planOf(yaml).launch.argv);

test('a guest has what it was started with, and room for more where the definition says so', () => {
  assert.deepEqual(sizeOf('name: a\nmemory: 512MiB\ncpu: {count: 2}'), {
    cpus: 2,
    mostCpus: 2,
    memory: 512 * mib,
    mostMemory: 512 * mib,
    slots: 0,
  });
  assert.deepEqual(
    sizeOf('name: a\nmemory: 512MiB\ncpu: {count: 2, maximum: 6}\nmemoryMaximum: 2GiB\nmemorySlots: 3'),
    { cpus: 2, mostCpus: 6, memory: 512 * mib, mostMemory: 2048 * mib, slots: 3 },
  );
});
