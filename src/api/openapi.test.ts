import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routes, type Route } from './contract.ts';
import { openApiDocument, type Json, type JsonObject } from './openapi.ts';

const document = openApiDocument('1.2.3');
const table = Object.entries<Route>(routes);

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

function* objects(value: Json): Generator<JsonObject> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as JsonObject;
  for (const part of Object.values(value)) yield* objects(part);
}

const at = (path: string): Json | undefined =>
  path
    .slice(2)
    .split('/')
    .reduce<Json | undefined>((value, key) => (value as JsonObject | undefined)?.[key], document);

test('every call is an operation with its right', () => {
  const operations = [...objects(document)].filter((one) => 'operationId' in one);
  assert.deepEqual(
    operations.map((one) => `${text(one['operationId'])} ${text(one['x-qward-right'])}`).sort(),
    table.map(([name, route]) => `${name} ${route.right}`).sort(),
  );
});

test('every reference leads somewhere', () => {
  const references = [...objects(document)].flatMap((one) =>
    typeof one['$ref'] === 'string' ? [one['$ref']] : [],
  );
  assert.ok(references.length > table.length);
  for (const reference of references) assert.notEqual(at(reference), undefined, reference);
});

test('every parameter of a path is declared, and no other', () => {
  for (const [path, item] of Object.entries(document['paths'] as Record<string, JsonObject>)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    for (const operation of Object.values(item) as JsonObject[]) {
      const declared = ((operation['parameters'] ?? []) as JsonObject[]).filter(
        (one) => one['in'] === 'path',
      );
      assert.deepEqual(
        declared.map((one) => one['name']),
        named,
        path,
      );
      assert.ok(declared.every((one) => one['required'] === true));
    }
  }
});

test('nothing but the required body has to be given', () => {
  const required = [...objects(document)].flatMap((one) => {
    const body = one['requestBody'] as JsonObject | undefined;
    return body?.['required'] === true ? [text(one['operationId'])] : [];
  });
  const disks = ['Check', 'Commit', 'Convert', 'Create', 'Import', 'Info', 'Rebase', 'Resize', 'Snapshot'];
  const others = [
    'attach',
    'backup',
    'clone',
    'commit',
    'define',
    'detach',
    'edit',
    'exec',
    'give',
    'grant',
    'mirror',
    'monitor',
    'overlay',
    'pull',
    'qmp',
    'rename',
    'resizeDisk',
    'revoke',
    'sendKeys',
    'set',
    'setMedium',
    'setVariables',
    'settleMove',
    'snapshotCreate',
    'wait',
    'why',
  ];
  assert.deepEqual(required.sort(), [...others, ...disks.map((call) => `disk${call}`)].sort());
});

test('calls that change something are logged, and those that only look are not', () => {
  // Who has a console or the screen open types into the guest: a GET only because it becomes a WebSocket.
  const changes = (name: string, method: string): boolean =>
    ['console', 'vnc', 'guestFile', 'run', 'migrate', 'arrive'].includes(name) ||
    (method !== 'GET' && !['wait', 'why', 'diskInfo'].includes(name));
  for (const [name, route] of table) assert.equal(route.logged === true, changes(name, route.method), name);
});
