/** The output layer, pure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  auditReport,
  crashedStatus,
  doctorReport,
  planOutcome,
  runningStatus,
  sampleTime,
} from '../../../test/support/machine-samples.ts';
import { renderAudit } from './audit.ts';
import { renderDefined } from './defined.ts';
import { renderDoctor } from './doctor.ts';
import { renderDrill } from './drill.ts';
import { escapeJson, escapeLine, escapeLines } from './escape.ts';
import { renderEvent } from './event.ts';
import { renderPlan } from './explain.ts';
import { renderFaults } from './faults.ts';
import { renderLogLine } from './log-line.ts';
import { renderMachineList } from './machine-list.ts';
import { renderMachineStatus } from './machine-status.ts';
import { formatBytes } from './sizes.ts';
import { createStyle, plainStyle, type Style } from './style.ts';
import { foldText, renderTable } from './table.ts';

const event = { at: '2026', event: 'machine.started', machine: 'web', by: 'alice', details: { why: 'x' } };
const defined = { name: 'web', outcome: 'defined', notes: ['a note'] };
const fault = { code: 'internal', message: 'bad', hint: 'cure', file: 'web.yaml', excerpt: '1 | x' } as const;
const drillReport: Parameters<typeof renderDrill>[0] = {
  machine: 'web',
  at: '2026',
  ok: false,
  rows: [
    {
      probe: 'read-shadow',
      wall: 'root',
      verdict: 'blocked',
      how: 'ENOENT',
      attempt: 'open /etc/shadow',
      control: 'it is there',
    },
    {
      probe: 'mount',
      wall: 'seccomp',
      verdict: 'through',
      how: 'it succeeded',
      attempt: 'change a mount',
      control: 'succeeds',
    },
  ],
};
const line = { at: '2026', from: 'qemu', text: 'warning' } as const;

/** Every renderer with data that it shows. */
const renderings: Readonly<Record<string, readonly [unknown, (data: never, style: Style) => string]>> = {
  list: [[runningStatus, crashedStatus], renderMachineList],
  status: [runningStatus, (data, style) => renderMachineStatus(data, style, sampleTime)],
  'status of a crashed machine': [
    crashedStatus,
    (data, style) => renderMachineStatus(data, style, sampleTime),
  ],
  audit: [auditReport, renderAudit],
  explain: [planOutcome.plan, renderPlan],
  doctor: [doctorReport, renderDoctor],
  event: [event, renderEvent],
  define: [defined, renderDefined],
  faults: [[fault], renderFaults],
  logs: [line, renderLogLine],
};

/** The same data with an evil end on every text that is not one of a fixed set of words. */
function poisoned(value: unknown, fixed: ReadonlySet<string>): unknown {
  if (typeof value === 'string')
    return fixed.has(value) ? value : `${value}\u001b]0;evil\u0007\r\u009b2J\u202e`;
  if (Array.isArray(value)) return value.map((one) => poisoned(one, fixed));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, poisoned(one, fixed)]));
  return value;
}

const fixed = new Set([
  'running',
  'crashed',
  'ok',
  'differs',
  'missing',
  'degraded',
  'tcg',
  'qemu',
  'rw',
  'internal',
]);

for (const [name, [data, render]] of Object.entries(renderings)) {
  test(`${name}: no control character of the data reaches the terminal`, () => {
    const text = render(poisoned(data, fixed) as never, plainStyle);
    assert.match(text, /\\x1b/);
    assert.doesNotMatch(text, /(?!\n)[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  test(`${name}: colours change nothing but colours`, () => {
    const colored = render(data as never, createStyle({ color: true, columns: Number.POSITIVE_INFINITY }));
    const plain = render(data as never, plainStyle);
    assert.equal(colored.replaceAll(/\u001b\[\d+m/g, ''), plain);
    assert.match(plain, /\n$/);
  });
}

test('tables fold to the width of the terminal', () => {
  for (const columns of [80, 100, 120]) {
    const style = createStyle({ color: false, columns });
    for (const row of renderAudit(auditReport, style).split('\n')) assert.ok(row.length <= columns, row);
  }
});

test('a path is folded behind a slash', () => {
  assert.deepEqual(foldText('/var/lib/qward/images/web.qcow2', 24), ['/var/lib/qward/images/', 'web.qcow2']);
});

test('prose keeps to the width of the terminal, the rest of it indented', () => {
  const style = createStyle({ color: false, columns: 80 });
  for (const text of [renderDoctor(doctorReport, style), renderDrill(drillReport, style)])
    for (const shown of text.split('\n')) assert.ok(shown.length <= 80, shown);
});

test('a narrow drill tells of what was not blocked, and how to see the rest', () => {
  const narrow = renderDrill(drillReport, createStyle({ color: false, columns: 80 }));
  assert.doesNotMatch(narrow, /open \/etc\/shadow/);
  assert.match(narrow, /^mount: change a mount; outside: succeeds$/m);
  assert.match(narrow, /--json/);
  assert.match(renderDrill(drillReport, plainStyle), /open \/etc\/shadow  it is there/);
});

test('a table without rows is its header', () => {
  assert.equal(renderTable([], [{ title: 'NAME', cell: () => '' }], plainStyle), 'NAME\n');
});

test('text is folded at spaces and commas where it can', () => {
  assert.deepEqual(foldText('one two three', 8), ['one two', 'three']);
  assert.deepEqual(foldText('aaaa,bbbb,cccc', 10), ['aaaa,bbbb,', 'cccc']);
  assert.deepEqual(foldText('abcdefghij', 4), ['abcd', 'efgh', 'ij']);
});

test('escaped text keeps its letters', () => {
  assert.equal(escapeLine('Grüße\tan\nalle'), 'Grüße\\tan\\nalle');
  assert.equal(escapeLines('a\r\nb\tc\rd'), 'a\nb\tc\\rd');
  const data = { text: 'a\u009b\u202e\u007f\u001b' };
  assert.deepEqual(JSON.parse(escapeJson(JSON.stringify(data, null, 2))), data);
  assert.doesNotMatch(escapeJson(JSON.stringify(data, null, 2)), /[\u007f-\u009f\u202e]/);
});

test('sizes are short', () => {
  assert.deepEqual([1, 1024, 1536 * 1024 ** 2, 3 * 1024 ** 4].map(formatBytes), [
    '1B',
    '1KiB',
    '1.5GiB',
    '3TiB',
  ]);
});
