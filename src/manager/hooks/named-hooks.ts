/** The hooks that a definition names against those of the policy. Pure. */
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { nearest } from '../../definition/suggest.ts';
import { policyFile, type Policy } from '../../policy/policy.ts';

export const hookEvents = ['start', 'stop'] as const;

/** A fault for each hook that the policy does not have. */
export function hookFaults({ name, hooks }: MachineDefinition, policy: Policy): readonly Fault[] {
  return hookEvents.flatMap((event) => {
    const hook = hooks[event];
    if (hook === undefined || policy.hooks.some((known) => known.name === hook)) return [];
    return [unknownHook(hook, name, event, policy)];
  });
}

/** SECURITY: promise 4. A program runs around a machine only where the administrator gave it a name. */
export function unknownHook(
  hook: string,
  machine: string,
  event: (typeof hookEvents)[number],
  policy?: Policy,
): Fault {
  const near = nearest(hook, policy?.hooks.map(({ name }) => name) ?? []);
  return {
    code: 'policy-refused',
    message: `machine "${machine}": hook "${hook}" is not one that the policy lists`,
    hint: `${near === undefined ? '' : `did you mean "${near}"? Else `}add it to hooks in ${policyFile}`,
    path: ['hooks', event],
    rule: 'hooks',
  };
}
