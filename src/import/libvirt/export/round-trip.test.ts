/** A definition that becomes a domain of libvirt and comes back is the same definition, whatever its keys. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { definitionJsonSchema, type JsonSchema } from '../../../definition/json-schema.ts';
import { parseDefinition } from '../../../definition/parse.ts';
import type { MachineDefinition } from '../../../definition/schema.ts';
import { importDomains } from '../import-domain.ts';
import { exportDomain, ownKeys } from './export-domain.ts';

function definitionOf(yaml: string): MachineDefinition {
  const parsed = parseDefinition(yaml);
  assert.deepEqual(parsed.ok ? [] : parsed.faults, [], yaml);
  assert.ok(parsed.ok);
  return parsed.definition;
}

function imported(xml: string): MachineDefinition {
  const [result] = importDomains(xml);
  assert.ok(result?.ok === true, result?.ok === false ? (result.faults[0]?.message ?? '') : 'nothing');
  return definitionOf(result.source);
}

const isSchema = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null;
const text = fc.string({ unit: fc.constantFrom(...Array.from('abc &<>\'"]]>;#:{}ä-0')), maxLength: 12 });
const word = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);

/** Values for what a pattern says; examples where the pattern is more than fast-check takes. */
const byTitle: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  path: word.map((name) => `/srv/${name}`),
  name: word,
  id: word,
  text,
  'MAC address': fc.stringMatching(/^52:54:00(:[0-9a-f]{2}){3}$/),
  'IP address': fc.constantFrom('192.168.1.7', 'fd00::7'),
  size: fc.constantFrom('8MiB', '64MiB', '2GiB', '16MiB', 1048576),
  duration: fc.constantFrom('1s', '90s', '2m', '250ms'),
};

/** Any value of the schema, as far as it can be told; what breaks a rule is taken out afterwards. */
function valueOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const title = byTitle[schema.title ?? ''];
  if (title !== undefined) return title;
  const choices = (schema.oneOf ?? schema.anyOf ?? []).filter(isSchema);
  if (choices.length > 0) return fc.oneof(...choices.map(valueOf));
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'integer' || schema.type === 'number') {
    const [min, max] = [
      Math.ceil(schema.minimum ?? 0),
      Math.min(Math.floor(schema.maximum ?? 1000), 2 ** 31),
    ];
    return fc.integer({ min, max: Math.max(min, max) });
  }
  if (schema.type === 'array') {
    const { items } = schema;
    return isSchema(items) && !Array.isArray(items)
      ? fc.array(valueOf(items), { maxLength: 3 })
      : fc.constant([]);
  }
  if (schema.type === 'object') return objectOf(schema);
  const examples = schema.examples ?? [];
  return examples.length > 0 ? fc.constantFrom<unknown>(...examples) : text;
}

function objectOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  const required = new Set(schema.required ?? []);
  const entries = Object.entries(schema.properties ?? {}).filter((entry): entry is [string, JsonSchema] =>
    isSchema(entry[1]),
  );
  const fields = entries.map(([name, below]) => [
    name,
    required.has(name) ? valueOf(below) : fc.option(valueOf(below), { nil: undefined, freq: 1 }),
  ]);
  return fc
    .record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<unknown>>)
    .map((value) => Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)));
}

type Tree = Record<string | number, unknown>;

/** Ids, images and addresses each once. */
function distinct(value: Tree): Tree {
  let count = 0;
  for (const list of ['disks', 'cdroms', 'nics', 'serials', 'channels'])
    for (const part of Array.isArray(value[list]) ? (value[list] as Tree[]) : []) {
      count += 1;
      if ('id' in part) part['id'] = `part${count}`;
      if (list === 'disks') part['path'] = `/srv/images/${count}`;
      if ('mac' in part) part['mac'] = `52:54:00:00:00:${String(count).padStart(2, '0')}`;
    }
  return value;
}

function take(tree: unknown, path: readonly (string | number)[]): void {
  const [step, ...rest] = path;
  if (typeof tree !== 'object' || tree === null || step === undefined) return;
  const here = tree as Tree;
  if (rest.length > 0 && here[step] !== undefined) take(here[step], rest);
  else if (Array.isArray(here)) here.splice(Number(step), 1);
  else delete here[step];
}

/** Without what the rules refuse: keys that a fault is about, then the groups around them. */
function sound(value: Tree): MachineDefinition | undefined {
  for (let round = 0; round < 60; round += 1) {
    const parsed = parseDefinition(stringify(value));
    if (parsed.ok) return parsed.definition;
    for (const { path = [] } of parsed.faults) {
      const needed = ['id', 'path', 'format', 'kind', 'bridge', 'name', 'type'].includes(String(path.at(-1)));
      take(value, needed && path.length > 1 ? path.slice(0, -1) : path);
    }
    value['name'] ??= 'again';
  }
  return undefined;
}

const definitions = objectOf(definitionJsonSchema())
  .map((value) => sound(distinct(structuredClone(value) as Tree)))
  .filter((definition) => definition !== undefined);

test('any definition, exported and imported, is the same', () => {
  fc.assert(
    fc.property(definitions, (definition) => {
      const { xml } = exportDomain(definition);
      const back = imported(xml);
      assert.deepEqual(back, definition, xml);
      assert.equal(exportDomain(back).xml, xml);
    }),
    { numRuns: 40 },
  );
});

test('what was imported, exported and imported is the same', () => {
  const directory = join(import.meta.dirname, '../../../../test/golden/import');
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.xml')))
    for (const result of importDomains(readFileSync(join(directory, file), 'utf8'))) {
      if (!result.ok) continue;
      const definition = definitionOf(result.source);
      assert.deepEqual(imported(exportDomain(definition).xml), definition, file);
    }
});

const ours =
  /^(?:tags|stop|autostart|restart|hooks|onHostShutdown|onAuditFailure|limits\.pids|confinement|qemu\.qmp)(?:\.|$)/;

test('what libvirt has words for is said in them', () => {
  const yaml = readFileSync(join(import.meta.dirname, '../../../../resources/examples/server.yaml'), 'utf8');
  const kept = ownKeys(definitionOf(yaml)).map(([key]) => key);
  assert.deepEqual(
    kept.filter((key) => !ours.test(key)),
    [],
  );
});
