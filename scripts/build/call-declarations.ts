/** The types of src/api/calls.ts without the schema library, from the OpenAPI document. */
import { routes, type Route } from '../../src/api/contract.ts';
import { openApiDocument, type Json, type JsonObject } from '../../src/api/openapi.ts';

/** Schemas that the layers below type themselves. */
const imported: Readonly<Record<string, string>> = {
  AuditReport: '../audit/report.ts',
  PlanOutcome: '../plan/launch-plan.ts',
};

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const objects = (value: Json | undefined): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isObject) : [];

function objectText(schema: JsonObject): string {
  const properties = isObject(schema['properties']) ? schema['properties'] : undefined;
  const rest = schema['additionalProperties'];
  if (properties === undefined)
    return `Readonly<Record<string, ${isObject(rest) ? schemaText(rest) : 'unknown'}>>`;
  const required: readonly Json[] = Array.isArray(schema['required']) ? schema['required'] : [];
  const fields = Object.entries(properties).map(([name, property]) => {
    const optional = required.includes(name) ? '' : '?';
    return `readonly ${name}${optional}: ${isObject(property) ? schemaText(property) : 'unknown'};`;
  });
  return `{ ${fields.join(' ')} }`;
}

/** A JSON Schema as a TypeScript type. */
export function schemaText(schema: JsonObject): string {
  if (typeof schema['$ref'] === 'string') return schema['$ref'].split('/').at(-1) ?? 'unknown';
  if (Array.isArray(schema['enum'])) return schema['enum'].map((one) => JSON.stringify(one)).join(' | ');
  if (Array.isArray(schema['anyOf'])) return objects(schema['anyOf']).map(schemaText).join(' | ');
  const types = Array.isArray(schema['type']) ? schema['type'] : [schema['type'] ?? ''];
  return types.map((type) => typeText(schema, type)).join(' | ');
}

function typeText(schema: JsonObject, type: Json): string {
  if (type === 'object') return objectText(schema);
  if (type === 'array')
    return `readonly (${isObject(schema['items']) ? schemaText(schema['items']) : 'unknown'})[]`;
  if (type === 'integer') return 'number';
  return type === 'string' || type === 'number' || type === 'boolean' || type === 'null' ? type : 'unknown';
}

function content(holder: Json | undefined): JsonObject | undefined {
  const media =
    isObject(holder) && isObject(holder['content']) ? holder['content']['application/json'] : undefined;
  return isObject(media) && isObject(media['schema']) ? media['schema'] : undefined;
}

function inputText(operation: JsonObject): string {
  const parameters = objects(operation['parameters']).map((parameter) => {
    const schema = isObject(parameter['schema']) ? schemaText(parameter['schema']) : 'unknown';
    return `readonly ${JSON.stringify(parameter['name'])}${parameter['required'] === true ? '' : '?'}: ${schema};`;
  });
  const body = content(operation['requestBody']);
  return `{ ${parameters.join(' ')} }${body === undefined ? '' : ` & ${schemaText(body)}`}`;
}

export function callDeclarations(): string {
  const document = openApiDocument('');
  const paths = isObject(document['paths']) ? document['paths'] : {};
  const components = isObject(document['components']) ? document['components']['schemas'] : {};
  const calls = Object.entries<Route>(routes).map(([name, route]) => {
    const path = paths[route.path.replaceAll(/:(\w+)/g, '{$1}')];
    const operation = isObject(path) ? path[route.method.toLowerCase()] : undefined;
    if (!isObject(operation)) throw new Error(`the OpenAPI document lacks ${name}`);
    const result = isObject(operation['responses']) ? content(operation['responses']['200']) : undefined;
    const text = result === undefined ? 'never' : schemaText(result);
    return `  /** ${route.summary} */\n  readonly ${name}: { readonly input: ${inputText(operation)}; readonly result: ${text} };`;
  });
  const named = Object.entries(isObject(components) ? components : {}).filter(
    ([name]) => imported[name] === undefined && !['Error', 'Fault'].includes(name),
  );
  const types = named.map(
    ([name, schema]) => `export type ${name} = ${isObject(schema) ? schemaText(schema) : 'unknown'};`,
  );
  const streams = Object.entries<Route>(routes).filter(([, route]) => route.stream === true);
  return `/** What each call takes and gives. Written from the OpenAPI document. */
${Object.entries(imported)
  .map(([name, file]) => `import type { ${name} } from '${file}';`)
  .join('\n')}
${types.join('\n')}
export interface Calls {
${calls.join('\n')}
}
export type StreamName = ${streams.map(([name]) => JSON.stringify(name)).join(' | ')};
export type CallName = Exclude<keyof Calls, StreamName>;
export type CallInput<Name extends keyof Calls> = Calls[Name]['input'];
export type CallResult<Name extends CallName> = Calls[Name]['result'];
export type { ConsoleNotice, FileNotice, MachineEvent } from './stream-messages.ts';
`;
}
