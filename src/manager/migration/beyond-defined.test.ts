import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionText } from '../../definition/format-full.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { beyondDefined, isDefined } from './beyond-defined.ts';

function parsed(text: string): MachineDefinition {
  const result = parseDefinition(text);
  assert.ok(result.ok, JSON.stringify(result));
  return result.definition;
}

const disks =
  'disks: [{id: root, path: /images/web.qcow2, format: qcow2}, {id: data, path: /images/data.raw, format: raw, readonly: true}]';
const base = `name: web\nmemory: 64MiB\n${disks}\nnics: [{id: net0, kind: bridge, bridge: br0}]\n`;
const why = (offered: string, defined = base): string =>
  beyondDefined(parsed(offered), parsed(defined))
    .map(({ message }) => message)
    .join('\n');

test('what was defined comes, by whatever words; so does what has another size, other texts, a file less', () => {
  assert.equal(why(base), '');
  assert.equal(why(definitionText(parsed(base))), '');
  assert.equal(why(base.replace('64MiB', '128MiB')), '');
  assert.equal(why(`${base}description: of old\nagent: true\n`), '');
  assert.equal(why(base.replace(disks, 'disks: [{id: root, path: /images/web.qcow2, format: qcow2}]')), '');
});

const more: readonly (readonly [string, string, RegExp])[] = [
  ['another image', base.replace('/images/web.qcow2', '/images/db.qcow2'), /"\/images\/db\.qcow2" \(rw\)/],
  ['more access to one', base.replace(', readonly: true', ''), /"\/images\/data\.raw" \(rw\)/],
  ['a disc', `${base}cdroms: [{id: cd, path: /images/x.iso}]\n`, /"\/images\/x\.iso" \(ro\)/],
  ['another kernel', `${base}boot: {kernel: /images/k}\n`, /"\/images\/k" \(ro\)/],
  ['another bridge', base.replace('br0', 'br1'), /: nics$/],
  ['a hook', `${base}hooks: {start: alarm}\n`, /: hooks$/],
  ['a filter less', `${base}confinement: {seccomp: off}\n`, /: seccomp off$|seccomp off\n/],
  ['a file of the host', `${base}confinement: {files: [{path: /etc/x, access: ro}]}\n`, /"\/etc\/x" \(ro\)/],
  ['words for QEMU', `${base}qemu: {args: [-device, x]}\n`, /: qemu$/],
  ['more of the host', `${base}limits: {pids: 4096}\n`, /: limits$/],
];

for (const [what, offered, expected] of more)
  test(`${what} does not come`, () => {
    assert.match(why(offered), expected);
    assert.equal(why(offered, offered), '');
  });

test('it is what was defined only where all of it is', () => {
  assert.ok(isDefined(parsed(definitionText(parsed(base))), parsed(base)));
  assert.ok(!isDefined(parsed(base.replace('64MiB', '128MiB')), parsed(base)));
});
