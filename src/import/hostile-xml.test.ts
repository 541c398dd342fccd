/** XML of somebody who means harm: refused, or read to its end, in a bounded time. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { definitionKeys } from '../definition/definition-keys.ts';
import { parseDefinition } from '../definition/parse.ts';
import { importDomains } from './libvirt/import-domain.ts';
import { parseXml, xmlLimits } from './xml/parse-xml.ts';
import { nodesOf } from './xml/xml-node.ts';

function faultOf(xml: string): string {
  const reading = parseXml(xml);
  assert.equal(reading.ok, false, xml.slice(0, 200));
  return reading.ok ? '' : `${reading.fault.line}: ${reading.fault.message}`;
}

const domain = (inner: string): string =>
  `<domain type='kvm'><name>a</name><memory>1048576</memory><os><type>hvm</type></os>${inner}</domain>`;

test('a document type is refused before anything of it is read', () => {
  const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join(
    '',
  );
  for (const type of [
    '<!DOCTYPE domain SYSTEM "http://example.org/x.dtd">',
    '<!DOCTYPE domain [<!ENTITY x SYSTEM "file:///etc/shadow">]>',
    '<!DOCTYPE domain [<!ENTITY % p SYSTEM "file:///dev/zero"> %p;]>',
    `<!DOCTYPE domain [<!ENTITY l0 "ha">${laughs}]>`,
  ])
    assert.match(faultOf(`${type}<domain>&x;&l9;</domain>`), /^1: a document type .* is not taken/);
});

test('an entity that XML does not know is a fault, and is not looked for', () => {
  assert.match(faultOf('<domain>\n&x;</domain>'), /^2: this is no XML: undefined entity/);
});

test('a prefix that is not declared is a fault, where libvirt drops the elements silently', () => {
  const [result] = importDomains(domain("<qemu:commandline><qemu:arg value='-s'/></qemu:commandline>"));
  assert.ok(result !== undefined && !result.ok);
  assert.match(result.faults[0]?.message ?? '', /the prefix "qemu:" is not declared/);
  assert.match(
    result.faults[0]?.hint ?? '',
    /xmlns:qemu='http:\/\/libvirt\.org\/schemas\/domain\/qemu\/1\.0'/,
  );
});

test('depth, number of nodes and size are bounded', () => {
  assert.match(faultOf('<a>'.repeat(100_000)), /elements are more than 64 deep/);
  assert.match(faultOf(`<a>${'<b/>'.repeat(xmlLimits.nodes + 1)}</a>`), /more than 50000/);
  assert.match(faultOf(`<a>${'x'.repeat(xmlLimits.bytes)}</a>`), /larger than 1024 KiB/);
  const attributes = Array.from({ length: xmlLimits.nodes + 1 }, (_, i) => `a${i}='1'`).join(' ');
  assert.match(faultOf(`<a ${attributes}/>`), /more than 50000/);
});

test('the largest document that is taken is read within seconds', () => {
  const started = performance.now();
  const many = "<disk type='file'><source file='/d'/><target dev='vda' bus='virtio'/></disk>".repeat(2000);
  importDomains(domain(`<devices>${many}</devices>`));
  assert.ok(performance.now() - started < 20_000);
});

test('values of a document never become keys, lines or markup of the definition', () => {
  const evil = 'x\n  vnc: true\n"}]: &a *a !!js <<: {';
  const [result] = importDomains(
    domain(`<description>${evil.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</description>`),
  );
  assert.ok(result?.ok === true);
  const parsed = parseDefinition(result.source);
  assert.ok(parsed.ok, result.source);
  assert.equal(parsed.definition.vnc, false);
  assert.equal(parsed.definition.description, evil.replaceAll(/\s+/g, ' '));
});

const keys = definitionKeys();
const directory = join(import.meta.dirname, '../../test/golden/import');
const samples = readdirSync(directory)
  .filter((file) => file.endsWith('.xml'))
  .map((file) => readFileSync(join(directory, file), 'utf8'));

/** A sample with pieces cut out, doubled, moved or replaced. */
const mutated = fc
  .record({
    sample: fc.constantFrom(...samples),
    cuts: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        length: fc.integer({ min: 0, max: 60 }),
        text: fc.oneof(
          fc.string({ maxLength: 8 }),
          fc.constantFrom(
            '<',
            '>',
            "'",
            '/>',
            '&#0;',
            '&amp;',
            '\0',
            '-1',
            '1e99',
            '0x',
            '999999999999999999',
            '../..',
            '<!--',
            ']]>',
            ' x=""',
            '<a/>',
            'xmlns:q="q"',
          ),
        ),
      }),
      { maxLength: 6 },
    ),
  })
  .map(({ sample, cuts }) =>
    cuts.reduce((xml, { at, length, text }) => {
      const from = Math.floor(at * xml.length);
      return xml.slice(0, from) + text + xml.slice(from + length);
    }, sample),
  );

/** A sample with values of attributes and texts replaced: it stays XML, and means something else. */
const revalued = fc
  .record({
    sample: fc.constantFrom(...samples),
    seed: fc.array(
      fc.constantFrom(
        '',
        '0',
        '-1',
        '1',
        '99999999999',
        'yes',
        'on',
        'none',
        '/a',
        '/a/../b',
        'ä',
        'x'.repeat(300),
        'raw',
        'virtio',
        'ide',
        '0-3',
        '1,2',
      ),
      { minLength: 1, maxLength: 12 },
    ),
    every: fc.integer({ min: 1, max: 9 }),
  })
  .map(({ sample, seed, every }) => {
    let count = 0;
    const next = (old: string): string => {
      count += 1;
      return count % every === 0 ? (seed[count % seed.length] ?? '') : old;
    };
    return sample
      .replaceAll(/='([^']*)'/g, (_, old: string) => `='${next(old)}'`)
      .replaceAll(/>([^<>\s][^<>]*)</g, (_, old: string) => `>${next(old)}<`);
  });

test('no document makes the importer throw, and what it makes is a definition with every piece accounted for', () => {
  fc.assert(
    fc.property(fc.oneof(mutated, revalued), (xml) => {
      const started = performance.now();
      for (const result of importDomains(xml, { keys })) {
        if (!result.ok) {
          assert.ok(result.faults.length > 0);
          continue;
        }
        assert.equal(result.judgements.size, [...nodesOf(result.root)].length);
        const parsed = parseDefinition(result.source);
        assert.deepEqual(parsed.ok ? [] : parsed.faults, [], result.source);
      }
      assert.ok(performance.now() - started < 10_000);
    }),
    { numRuns: 250 },
  );
});
