/** YAML text to a definition, or every fault of it at once, each with its place. */
import { draftOf } from './draft.ts';
import type { Fault } from './fault.ts';
import { valueFaults } from './issues.ts';
import { isPlainMap, keyLabel, showValue, type KeyPath } from './key-path.ts';
import { readYaml, type YamlReading } from './read-yaml.ts';
import { brokenRules } from './rules.ts';
import { machineSchema, type MachineDefinition } from './schema.ts';

export type ParsedDefinition =
  | { readonly ok: true; readonly definition: MachineDefinition }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** More faults than anybody reads at once. */
const maxFaults = 100;

interface Placed extends Fault {
  readonly line: number;
  readonly column: number;
}

function faultsOfText(reading: YamlReading): readonly Placed[] {
  return reading.faults.map(({ offset, message, hint, path }) => ({
    code: 'definition-invalid',
    message,
    hint,
    ...(path.length > 0 ? { path } : {}),
    ...reading.positionOf(offset),
  }));
}

function faultsOfValues(reading: YamlReading): readonly Placed[] {
  const { value } = reading;
  const place = (path: KeyPath, at: 'key' | 'value', message: string, hint: string): Placed => ({
    code: 'definition-invalid',
    message: `${keyLabel(path, value)}${message}`,
    hint,
    path,
    ...reading.positionOf(reading.offsetOf(path, at)),
  });
  if (!isPlainMap(value)) {
    const found = value === null ? 'the definition is empty' : `found ${showValue(value)}`;
    const message = `${found}; expected keys such as name, memory and disks`;
    const hint =
      typeof value === 'string'
        ? 'Write lines such as "name: web", with a space behind the colon.'
        : 'The shortest definition is "name: web"; see docs/definition.md.';
    return [
      { code: 'definition-invalid', message, hint, ...reading.positionOf(reading.offsetOf([], 'value')) },
    ];
  }
  const wrong = valueFaults(value)
    // In a tree that is wrong, what seems to be missing may stand in another place.
    .filter((fault) => !reading.refused(fault.path) && !(reading.malformed && (fault.absent || fault.empty)))
    .map(({ rule, ...fault }) => ({
      ...place(fault.path, fault.at, `${fault.absent ? ' ' : ': '}${fault.message}`, fault.hint),
      ...(rule === undefined ? {} : { rule }),
    }));
  if (reading.malformed) return wrong;
  const rules = brokenRules(draftOf(value)).map((fault) =>
    place(fault.path, 'value', `: ${fault.message}`, fault.hint),
  );
  return [...wrong, ...rules];
}

/** Never throws; `faults` are in the order of the text. */
export function parseDefinition(yamlText: string): ParsedDefinition {
  const reading = readYaml(yamlText);
  const ofText = faultsOfText(reading);
  const lines = new Set(ofText.map(({ line }) => line));
  // What is no YAML is said once: what the schema makes of the same line is a consequence.
  const ofValues = reading.fatal
    ? []
    : faultsOfValues(reading).filter(({ line }) => !lines.has(line) || !reading.malformed);
  const faults = [...ofText, ...ofValues].sort((a, b) => a.line - b.line || a.column - b.column);
  if (faults.length === 0) return { ok: true, definition: machineSchema.parse(reading.value) };
  const more = faults.length - maxFaults;
  if (more <= 0) return { ok: false, faults };
  const rest = { code: 'definition-invalid', message: `and ${more} more faults`, hint: 'Mend these first.' };
  return { ok: false, faults: [...faults.slice(0, maxFaults), rest] };
}
