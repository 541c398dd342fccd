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

/** Of constants: any of them. */
function oneOf({ const: first, enum: values, ...rest }: JsonSchema, other: JsonSchema): JsonSchema {
  const all = [...(values ?? []), first, other.const];
  return { ...rest, enum: all.filter((value) => value !== undefined) };
}

function keysBelow(schema: JsonSchema, parent: string): readonly DefinitionKey[] {
  const found = new Map<string, DefinitionKey>();
  const all = shapes(schema);
  for (const shape of all) {
    for (const [name, child] of Object.entries(shape.properties ?? {})) {
      const key = parent === '' ? name : `${parent}.${name}`;
      const before = found.get(key);
      // What tells the shapes apart has a value in each.
      if (isSchema(child) && before?.schema.const !== undefined)
        found.set(key, { ...before, schema: oneOf(before.schema, child) });
      else if (isSchema(child) && before?.schema.enum !== undefined && child.const !== undefined)
        found.set(key, { ...before, schema: oneOf(before.schema, child) });
      if (!isSchema(child) || before !== undefined) continue;
      const required = all.every((one) => one.required?.includes(name) === true);
      found.set(key, { key, parent, name, required, schema: child });
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
