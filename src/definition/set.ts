/** Changes of single keys of a definition; comments and everything else stay as they were written. */
import { applyChange, checkedSource, type ChangedSource } from './apply-change.ts';
import { changeFault, placeChange, type Change } from './change-key.ts';
import { definitionKeys } from './definition-keys.ts';
import { parseDefinition } from './parse.ts';
import { readYaml } from './read-yaml.ts';

/**
 * `changes` have keys such as `memory`, `cpu.count`, `disks.root.cache` (list items by id) and `tags` (a list with
 * commas); null takes a key out. All are made, or none. `source` must be a definition without faults.
 */
export function setInDefinition(source: string, changes: readonly Change[]): ChangedSource {
  const parsed = parseDefinition(source);
  if (!parsed.ok) return parsed;
  const keys = definitionKeys();
  const { value } = readYaml(source);
  const faults = changes
    .map((change) => placeChange(change, keys, value))
    .flatMap((one) => (one.ok ? [] : [one.fault]));
  if (faults.length > 0) return { ok: false, faults };
  let text = source;
  for (const change of changes) {
    // Placed again: an earlier change may have taken an item out, and those behind it count differently.
    const placed = placeChange(change, keys, readYaml(text).value);
    if (!placed.ok) return { ok: false, faults: [placed.fault] };
    const changed = applyChange(text, placed.change);
    if (changed === undefined) {
      const message = 'cannot be changed alone in the way this definition is written';
      return { ok: false, faults: [changeFault(change.key, message, 'Use `qward edit`.')] };
    }
    text = changed;
  }
  return checkedSource(text);
}
