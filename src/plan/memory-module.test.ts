import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planModule } from './memory-module.ts';
import { planOf } from './sample-facts.ts';

const mib = 1024 ** 2;
const launchOf = (more: string): Parameters<typeof planModule>[0] =>
  planOf(`name: a\nmemory: 512MiB\n${more}`).launch;
const roomy = 'memoryMaximum: 1GiB\nmemorySlots: 2';
const one = { id: 'memory.0', memory: 256 * mib };

function whyNot(...asked: Parameters<typeof planModule>): string {
  const planned = planModule(...asked);
  return planned.ok ? 'planned' : `${planned.why}; ${planned.cure}`;
}

test('a module is memory of the kind that the machine has, in the first place that is free', () => {
  assert.deepEqual(planModule(launchOf(roomy), [one], { size: 128 * mib, backend: 'hot.1' }), {
    ok: true,
    backend: { 'qom-type': 'memory-backend-ram', merge: false, dump: false, id: 'hot.1', size: 128 * mib },
    device: { driver: 'pc-dimm', id: 'memory.1', memdev: 'hot.1' },
  });
  const pages = launchOf(`${roomy}\nmemoryBacking: {hugePages: 2MiB}`);
  const planned = planModule(pages, [], { size: 128 * mib, backend: 'hot.1' });
  assert.ok(planned.ok);
  assert.deepEqual(
    [planned.backend['qom-type'], planned.backend['hugetlbsize'], planned.device['id']],
    ['memory-backend-memfd', 2 * mib, 'memory.0'],
  );
});

test('what there is no room for is refused with its cure', () => {
  const of = (size: number): Parameters<typeof planModule>[2] => ({ size: size * mib, backend: 'hot.1' });
  assert.match(whyNot(launchOf(''), [], of(128)), /without room for more.*`memoryMaximum`.*`memorySlots`/);
  assert.match(whyNot(launchOf(roomy), [], of(100)), /multiple of 128MiB/);
  assert.match(whyNot(launchOf(roomy), [one], of(384)), /256MiB more at most.*memoryMaximum/);
  const two = [one, { id: 'memory.1', memory: 128 * mib }];
  assert.match(whyNot(launchOf(roomy), two, of(128)), /both|all 2 places are taken.*memorySlots/);
});
