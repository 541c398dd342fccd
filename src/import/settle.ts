/** Holds a draft against the schema and the rules of definitions, and takes out what they do not take. */
import { draftOf } from '../definition/draft.ts';
import { valueFaults } from '../definition/issues.ts';
import type { KeyPath, Plain } from '../definition/key-path.ts';
import { brokenRules } from '../definition/rules.ts';
import { type MachineDraft, type Part } from './machine-draft.ts';

interface Wrong {
  readonly path: KeyPath;
  readonly message: string;
  readonly hint: string;
}

export interface LeftOut<Source> {
  readonly part: Part<Source>;
  /** Empty where the part as a whole went. */
  readonly key: string;
  readonly source: Source;
  readonly message: string;
}

/** A part is nothing without these. */
const needed = new Set(['id', 'path', 'format', 'kind', 'bridge', 'network', 'type', 'bus', 'name']);

/** Taking something out can break another rule, but each round leaves less. */
const maxRounds = 40;

function wrongs(value: Plain): readonly Wrong[] {
  const wrong: Wrong[] = valueFaults(value).map(({ path, message, hint }) => ({ path, message, hint }));
  return wrong.length > 0 ? wrong : brokenRules(draftOf(value));
}

/** The key of the part whose value the fault is about: that of the fault, one above, or one beneath. */
function keyAt<Source>(part: Part<Source>, path: KeyPath): string | undefined {
  const at = path.filter((step) => typeof step === 'string').join('.');
  const keys = [...part.sources.keys()];
  return (
    keys.find((key) => key === at) ??
    keys.find((key) => at.startsWith(`${key}.`)) ??
    keys.find((key) => at === '' || key.startsWith(`${at}.`))
  );
}

/** What was left out, and what stays wrong for want of a place to blame. */
export function settle<Source>(draft: MachineDraft<Source>): {
  readonly left: readonly LeftOut<Source>[];
  readonly faults: readonly Wrong[];
} {
  const left: LeftOut<Source>[] = [];
  for (let round = 0; round < maxRounds; round += 1) {
    const faults = wrongs(draft.value());
    if (faults.length === 0) return { left, faults };
    const before = left.length;
    const gone = new Set<Part<Source>>();
    const blamed = faults.map(({ path, message }) => {
      const [list, index, ...rest] = path;
      const part = typeof index === 'number' ? draft.items(String(list))[index] : undefined;
      return { part: part ?? draft.machine, rest: part === undefined ? path : rest, message };
    });
    for (const { part, rest, message } of blamed) {
      if (gone.has(part)) continue;
      const key = keyAt(part, rest);
      const source = key === undefined ? undefined : part.sources.get(key);
      if (part !== draft.machine && (rest.length === 0 || key === undefined || needed.has(key))) {
        gone.add(part);
        draft.drop(part);
        left.push({ part, key: '', source: part.source, message });
      } else if (key !== undefined && source !== undefined && key !== 'name') {
        draft.unset(part, key);
        left.push({ part, key, source, message });
      }
    }
    if (left.length === before) return { left, faults };
  }
  return { left, faults: wrongs(draft.value()) };
}
