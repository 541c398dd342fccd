import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineStats } from './machine-stats.ts';
import { metrics, prometheusText } from './prometheus.ts';

const quiet: MachineStats = {
  name: 'web',
  state: 'stopped',
  at: '2026-01-01T00:00:00.000Z',
  cpu: null,
  memory: null,
  disks: null,
  nics: [],
};
const disk = { readBytes: 1, writtenBytes: 2, reads: 3, writes: 4, flushes: 5 };

test('each metric has its help and type once, and what is not known is left out', () => {
  const text = prometheusText([quiet, { ...quiet, name: 'db' }]);
  for (const { name } of metrics) assert.equal(text.split(`# TYPE ${name} `).length, 2, name);
  assert.deepEqual(
    text.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
    [
      'qward_machine_up{machine="web"} 0',
      'qward_machine_up{machine="db"} 0',
      'qward_machine_state{machine="web",state="stopped"} 1',
      'qward_machine_state{machine="db",state="stopped"} 1',
    ],
  );
});

test('no name ends its quotes or its line', () => {
  const text = prometheusText([{ ...quiet, disks: [{ disk: 'a"} 1\nevil{x="\\', ...disk }] }]);
  assert.match(
    text,
    /^qward_machine_disk_reads_total\{machine="web",disk="a\\"\} 1\\nevil\{x=\\"\\\\"\} 3$/m,
  );
  assert.doesNotMatch(text, /^evil/m);
});
