/** The OpenAPI 3.1 document, from the contract. */
import * as z from 'zod';
import { rights, routes, type Route } from './contract.ts';
import { errorKinds } from './errors.ts';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

const faultSchema = z
  .object({
    code: z.enum(Object.keys(errorKinds)).describe('What kind of fault it is; see docs/errors.md.'),
    message: z.string().describe('Names the thing, what was found and what was expected.'),
    hint: z.string().describe('What to do.'),
    path: z
      .array(z.union([z.string(), z.int()]))
      .optional()
      .describe('Place in the definition.'),
    line: z.int().optional(),
    column: z.int().optional(),
    rule: z
      .string()
      .optional()
      .describe(
        'The key of the policy that refuses it, `storageRoots[1]`, or a rule of qward, `owner-rights`.',
      ),
    ruleAt: z
      .string()
      .optional()
      .describe('Where the rule stands, or that it is the default; of a rule of qward what it says.'),
  })
  .meta({ id: 'Fault' });
const errorSchema = z.object({ faults: z.array(faultSchema) }).meta({ id: 'Error' });

/** JSON Schemas that have a name, gathered while the document is made. */
type Components = Map<string, JsonObject>;

const without = (object: JsonObject, key: string): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));

/** zod bounds every integer by what a double holds exactly, which tells a reader nothing. */
const isNoise = (key: string, value: unknown): boolean =>
  (key === 'minimum' || key === 'maximum') && Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema with its named parts moved to the components of the document. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Components): JsonObject {
  const text = JSON.stringify(z.toJSONSchema(schema, { io, unrepresentable: 'any' }), (key, value: unknown) =>
    isNoise(key, value) ? undefined : value,
  );
  const {
    $schema: _,
    $defs,
    id,
    ...rest
  }: JsonObject = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/'));
  if (isObject($defs))
    for (const [name, part] of Object.entries($defs))
      if (isObject(part)) components.set(name, without(part, 'id'));
  if (typeof id !== 'string') return rest;
  components.set(id, rest);
  return { $ref: `#/components/schemas/${id}` };
}

function parameters(schema: z.ZodType | undefined, place: 'path' | 'query'): JsonObject[] {
  if (schema === undefined) return [];
  // On the wire all is text: the output says what the text means, the input what may be left out.
  const { properties } = schemaOf(schema, 'output', new Map());
  const { required } = schemaOf(schema, 'input', new Map());
  return Object.entries(isObject(properties) ? properties : {}).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || (Array.isArray(required) && required.includes(name)),
    schema: property,
  }));
}

function responses(route: Route, components: Components): JsonObject {
  const fault = { $ref: '#/components/responses/Error' };
  if (route.stream === true)
    return { '101': { description: 'The connection becomes a WebSocket.' }, default: fault };
  const content =
    route.result === undefined
      ? {}
      : { content: { 'application/json': { schema: schemaOf(route.result, 'output', components) } } };
  return { '200': { description: 'Done.', ...content }, default: fault };
}

function operation(name: string, route: Route, components: Components): JsonObject {
  const given = [...parameters(route.params, 'path'), ...parameters(route.query, 'query')];
  const body =
    route.body === undefined
      ? {}
      : {
          requestBody: {
            // What has a default for every key may be left out as a whole.
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemaOf(route.body, 'input', components) } },
          },
        };
  return {
    operationId: name,
    summary: route.summary,
    'x-qward-right': route.right,
    ...(given.length === 0 ? {} : { parameters: given }),
    ...body,
    responses: responses(route, components),
  };
}

/** The document; `version` is qward's. */
export function openApiDocument(version: string): JsonObject {
  const components: Components = new Map();
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const [name, route] of Object.entries<Route>(routes)) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(name, route, components);
  }
  const error = schemaOf(errorSchema, 'output', components);
  return {
    openapi: '3.1.0',
    info: {
      title: 'qward',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'HTTP+JSON on the Unix socket /run/qward/api.sock. Who calls is known from the socket itself. ' +
        `Each call names the right that it needs in x-qward-right: ${rights.join(', ')}.`,
    },
    servers: [{ url: 'http://qward', description: 'The Unix socket of the manager.' }],
    security: [],
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([one], [other]) => one.localeCompare(other))),
      responses: {
        Error: {
          description: 'It was not done; every fault that was found.',
          content: { 'application/json': { schema: error } },
        },
      },
    },
  };
}
