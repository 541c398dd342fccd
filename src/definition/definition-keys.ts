/** Every key of a definition with its schema, flat, in the order of the schema. */
import { definitionJsonSchema, type JsonSchema } from './json-schema.ts';

export interface DefinitionKey {
  /** `memory`, `cpu.count`, `disks[].cache`. */
  readonly key: string;
  /** Key of the group or list item that it belongs to; empty for the outermost. */
  readonly parent: string;
  readonly name: string;
  readonly required: boolean;
  readonly schema: JsonSchema;
}

const isSchema = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null;

/** The shapes that an object may have: one, or those of a choice (`nics[]` by its `kind`). */
function shapes(schema: JsonSchema): readonly JsonSchema[] {
  return (schema.oneOf ?? schema.anyOf ?? [schema]).filter(isSchema);
}

function keysBelow(schema: JsonSchema, parent: string): readonly DefinitionKey[] {
  const found = new Map<string, DefinitionKey>();
  for (const shape of shapes(schema)) {
    for (const [name, child] of Object.entries(shape.properties ?? {})) {
      const key = parent === '' ? name : `${parent}.${name}`;
      if (!isSchema(child) || found.has(key)) continue;
      found.set(key, { key, parent, name, required: shape.required?.includes(name) ?? false, schema: child });
      const items = isSchema(child.items) && !Array.isArray(child.items) ? child.items : undefined;
      const below = items === undefined ? keysBelow(child, key) : keysBelow(items, `${key}[]`);
      for (const entry of below) found.set(entry.key, entry);
    }
  }
  return [...found.values()];
}

/** Takes some milliseconds; for faults, edits and documents, not for every parse. */
export function definitionKeys(): readonly DefinitionKey[] {
  return keysBelow(definitionJsonSchema(), '');
}
