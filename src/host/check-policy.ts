/** `qward policy check`: what is wrong with a policy, and what of it this host does not have. Needs no daemon and no right. */
import { readFileSync } from 'node:fs';
import { errnoText } from '../api/errno-text.ts';
import { readOwnFile } from '../linux/own-file.ts';
import { findLines, positionOfRule, type PolicyLines } from '../policy/policy-lines.ts';
import { judgePolicy, maxPolicyBytes, type PolicyText } from '../policy/read-policy.ts';
import { policyWarnings } from './policy-warnings.ts';

export interface PolicyFinding {
  readonly key: string;
  readonly message: string;
  /** What to do, where that is known here. */
  readonly cure?: string;
  /** Keys that there are, where one is not known. */
  readonly known?: readonly string[];
  readonly line?: number;
  readonly column?: number;
}

export interface PolicyCheck {
  readonly text: string;
  readonly faults: readonly PolicyFinding[];
  readonly warnings: readonly PolicyFinding[];
}

/** `installed`: it is the policy in force, which nobody but root may be able to write; else a draft of anybody's. */
export function checkPolicy(path: string, installed: boolean, own: readonly string[]): PolicyCheck {
  const file = installed ? readOwnFile(path, maxPolicyBytes) : readDraft(path);
  if (!file.ok)
    return { text: '', faults: file.faults.map((fault) => ({ key: '', ...fault })), warnings: [] };
  const text = file.text ?? '{}';
  const lines = findLines(text);
  const outcome = judgePolicy(text, own);
  if (!outcome.ok)
    return { text, faults: inOrder(wholeFaults(lines, outcome.faults).map(placedBy(lines))), warnings: [] };
  return { text, faults: [], warnings: inOrder(policyWarnings(outcome.policy).map(placedBy(lines))) };
}

function readDraft(path: string): PolicyText {
  try {
    return { ok: true, text: readFileSync(path, 'utf8') };
  } catch (error) {
    const message = `it cannot be read: ${errnoText(error)}`;
    return { ok: false, faults: [{ message, cure: 'name a file that you can read' }] };
  }
}

/** What concerns no key has its place all the same: where the text breaks, where a key stands again. */
function wholeFaults(lines: PolicyLines, faults: readonly PolicyFinding[]): readonly PolicyFinding[] {
  return faults.flatMap((fault) => {
    if (fault.key !== '') return [fault];
    if (lines.broken !== undefined) return [{ ...fault, ...lines.broken }];
    if (lines.twice.length === 0) return [fault];
    return lines.twice.map(({ key, position }) => ({ key, message: 'it is given twice', ...position }));
  });
}

const placedBy =
  (lines: PolicyLines) =>
  (finding: PolicyFinding): PolicyFinding =>
    finding.line === undefined ? { ...finding, ...positionOfRule(lines, finding.key) } : finding;

function inOrder(findings: readonly PolicyFinding[]): readonly PolicyFinding[] {
  return findings.toSorted((left, right) => (left.line ?? 0) - (right.line ?? 0));
}
