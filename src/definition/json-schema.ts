/** The JSON Schema of definitions as users write them: for editors, for the reference page, and for names of keys. */
import * as z from 'zod';
import { machineSchema } from './schema.ts';

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Draft 7, which the YAML language server knows best. */
export function definitionJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(machineSchema, { io: 'input', target: 'draft-7', reused: 'inline' });
  return {
    ...schema,
    title: 'qward machine definition',
    description: 'A virtual machine, as `qward define` takes it.',
  };
}
