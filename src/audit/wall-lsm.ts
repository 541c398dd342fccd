/** The label of the host's security module (SELinux context, AppArmor profile). */
import type { ExpectedWalls } from './expected-walls.ts';
import { judge, missing, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';
import { shown } from './shown.ts';

/** AppArmor's word for no profile, SELinux' types that confine nothing. */
const unconfined = /^unconfined$|:unconfined(?:_service)?_t:/;

export function compareLsm(state: ProcessState, expected: ExpectedWalls): Finding {
  const { label } = state.facts;
  if (expected !== null && expected.label !== null)
    return judge(
      `label ${shown(label)}`,
      label === expected.label ? [] : [label === '' ? 'no label' : `label ${label}`],
    );
  if (label === '') return missing('this host has none');
  if (!unconfined.test(label)) return judge(`label ${shown(label)}`, []);
  return expected === null ? judge('', [label]) : missing(`${shown(label)}: none is planned`);
}
