import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDefinition } from './parse.ts';

/** `line:column message | hint` of every fault. */
function report(text: string): readonly string[] {
  const parsed = parseDefinition(text);
  return parsed.ok
    ? []
    : parsed.faults.map(({ line, column, message, hint }) => `${line}:${column} ${message} | ${hint}`);
}

function assertReport(text: string, expected: readonly RegExp[]): void {
  const found = report(text);
  assert.equal(found.length, expected.length, found.join('\n'));
  for (const [index, pattern] of expected.entries()) assert.match(found[index] ?? '', pattern);
}

test('a name is enough, and everything else gets its default', () => {
  const parsed = parseDefinition('name: web\n');
  assert.ok(parsed.ok);
  const { cpu, memory, machine, disks, stop, limits, console } = parsed.definition;
  assert.deepEqual(
    [cpu.count, memory, machine, disks, stop.timeout, limits.cpuWeight, console],
    [1, 1024 ** 3, 'q35', [], 60_000, 100, true],
  );
});

test('every fault is reported at once, in the order of the text', () => {
  assertReport(
    `memmory: 2G
name: Web Server
cpu: {count: 0, nested: true}
disks:
  - id: root
    path: images/root.img
    readonly: yes
  - id: root
    path: /a
    format: vmdk
stop: {timeout: 60}
limits:
`,
    [
      /^1:1 memmory: there is no such key \| Did you mean "memory"\?$/,
      /^2:7 name: found "Web Server"; expected a name of lower-case .* \| Did you mean "web-server"\?$/,
      /^3:14 cpu\.count: found 0; expected at least 1/,
      /^3:25 cpu\.nested: found true; expected false/,
      /^5:5 disks\.root\.format is missing; expected raw or qcow2/,
      /^6:11 disks\.root\.path: found "images\/root\.img"; expected an absolute path/,
      /^7:15 disks\.root\.readonly: found "yes"; expected true or false \| Write true/,
      /^8:9 disks\.root\.id: "root" is the id of another disk already/,
      /^10:13 disks\.root\.format: found "vmdk"; expected raw or qcow2/,
      /^11:17 stop\.timeout: found 60; expected a duration .* \| .*Did you mean 60s\?$/,
      /^12:1 limits: found nothing; expected a group of keys \| Give it a value, or remove the key\.$/,
    ],
  );
});

test('numbers without units get the unit that was meant', () => {
  assertReport('name: a\nmemory: 2048\n', [
    /^2:9 memory: found 2048; expected a size .* \| .*bytes\. Did you mean 2048M\?$/,
  ]);
  assertReport('name: a\nmemory: 512mb\n', [/Did you mean 512MiB\?$/]);
});

test('keys of other programs, and keys in the wrong place, are recognised', () => {
  assertReport('name: a\nvcpus: 2\nkernel: /k\nnics: [{id: lan, kind: bridge, bridge: br0, type: x}]\n', [
    /^2:1 vcpus: .* \| Did you mean "cpu\.count"\?$/,
    /^3:1 kernel: .* \| There is boot\.kernel; is it in the wrong place\?$/,
    /^4:45 nics\.lan\.type: .* \| Did you mean "kind"\?$/,
  ]);
  assertReport('name: a\ncpu: {xyzzy: 1}\n', [/\| The keys of cpu are model, count, .*, nested\.$/]);
});

test('a card of unknown kind is looked into all the same', () => {
  assertReport(
    'name: a\nnics:\n  - {id: lan, bridge: "br 0", foo: 1}\n  - {id: wan, kind: bridg, bridge: br0, mac: 1}\n',
    [
      /^3:15 nics\.lan\.bridge: there is no such key \| It is a key of others of nics\[\]: see their `kind`\.$/,
      /^3:31 nics\.lan\.foo: there is no such key/,
      /^4:21 nics\.wan\.kind: found "bridg"; expected bridge, network, user or default \| Did you mean "bridge"\?$/,
      /^4:46 nics\.wan\.mac: found 1; expected a unicast MAC address/,
    ],
  );
});

test('what is no definition at all is said once', () => {
  assertReport('', [/^1:1 the definition is empty; expected keys such as name/]);
  assertReport('# nothing\n', [/the definition is empty/]);
  assertReport('- a\n', [/^1:1 found a list; expected keys/]);
  assertReport('name:web\n', [/found "name:web"; expected keys .* \| .*a space behind the colon\.$/]);
});

test('errors of YAML stand where they must be mended, without what follows from them', () => {
  assertReport('name: "web\nmemory: 2G\n', [/^1:7 this " is never closed/]);
  assertReport('name: web\nboot: {kernel: /x, cmdline: [a\nmemory: 2G\n', [/^2:29 this \[ is never closed/]);
  assertReport('name: web\nboot:\n\tkernel: /x\n', [
    /^3:1 this is not YAML: a tab as indentation \| Indent with spaces\.$/,
  ]);
  assertReport('name: web\ndescription: a: b\nmemmory: 1G\n', [
    /^2:14 this is not YAML: a key within/,
    /^3:1 memmory: .*Did you mean "memory"/,
  ]);
  assertReport('name: web\ndisks:\n  - path: /a: b\n    id: root\n    bus: x\n', [
    /^3:11 this is not YAML/,
    /^5:10 disks\.root\.bus: found "x"/,
  ]);
  assertReport('name: web\n---\nname: two\n', [/^2:1 a second document begins here/]);
});

test('a key that is there twice is a fault, also where it is dangerous to JavaScript', () => {
  assertReport('name: a\nname: b\n', [/^2:1 name: this key is there a second time/]);
  assertReport('name: a\n__proto__: {memory: 1G}\nconstructor: 1\n', [
    /^2:1 a key that is not a word/,
    /^3:1 constructor: there is no such key/,
  ]);
  assertReport('name: a\n? [x]\n: 1\n12: 3\n', [
    /^2:3 a key that is not a word/,
    /^4:1 12: there is no such key/,
  ]);
});

test('aliases are refused and nothing more is said about their values', () => {
  assertReport('name: a\nmemory: &m 1G\nlimits: {memory: *m}\n', [
    /^2:9 anchors \(&\) are not taken/,
    /^3:18 aliases \(\*\) are not taken/,
  ]);
  assertReport('name: a\n<<: {memory: 1G}\n', [/Merge keys are not taken/]);
});

test('YAML 1.2 decides what is a boolean and a number', () => {
  const parsed = parseDefinition(
    'name: \'on\'\ndescription: "1"\nnics: [{id: a, kind: bridge, bridge: br0, mac: 52:54:00:12:34:56}]\n',
  );
  assert.ok(parsed.ok);
  assert.deepEqual([parsed.definition.name, parsed.definition.nics[0]?.mac], ['on', '52:54:00:12:34:56']);
  assertReport('name: a\ndescription: 12\n', [
    /found 12; expected one line of text.* \| Put it in quotes: "12"\.$/,
  ]);
});

test('no more than a hundred faults are listed, and how many there are is said', () => {
  const found = report(`name: a\n${Array.from({ length: 300 }, (_, index) => `key${index}: 1\n`).join('')}`);
  assert.equal(found.length, 101);
  assert.match(found.at(-1) ?? '', /and 200 more faults/);
});

test('text of the user is cut and cannot reach the terminal raw', () => {
  const [fault] = report(`name: a\nmemory: "${'x'.repeat(5000)}"\n"\\e[31m": 1\n`);
  assert.ok((fault ?? '').length < 300);
  assert.doesNotMatch(report('name: "\\e[31m\\u202ea"\n"\\e]0;x\\a": 1\n').join(''), /[\u0000-\u001f\u202e]/);
});
