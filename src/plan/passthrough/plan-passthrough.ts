/** `qemu` of a definition: what it adds to a plan, what it reaches of the host, and what of it is refused. */
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { hostResources } from './host-resources.ts';
import { judgeResources, lintArguments } from './lint.ts';
import type { PassthroughFinding } from './finding.ts';
import { refusedCommands } from './refused-commands.ts';

export interface Passthrough {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly findings: readonly PassthroughFinding[];
  readonly faults: readonly Fault[];
}

/** `shown`: what of the system the jail shows in any case. */
export function planPassthrough(definition: MachineDefinition, shown: readonly string[]): Passthrough {
  const { args, env, qmp } = definition.qemu;
  const { findings, refusals } = lintArguments(args, definition, shown);
  const ofCommands = qmp.flatMap(({ execute, arguments: given }, index) => {
    const named = hostResources({ name: 'qmp', value: JSON.stringify(given ?? {}), index });
    return judgeResources({ index, option: `qmp ${execute}` }, named, { granted: definition, shown });
  });
  const all = [...findings, ...ofCommands];
  return {
    argv: args,
    env: Object.fromEntries(env.map(({ name, value }) => [name, value])),
    findings: all,
    faults: [...refusals, ...refusedQmp(definition), ...all.flatMap(unreachable)],
  };
}

function refusedQmp({ qemu }: MachineDefinition): readonly Fault[] {
  return qemu.qmp.flatMap(({ execute }, index) => {
    const refused = Object.hasOwn(refusedCommands, execute) ? refusedCommands[execute] : undefined;
    if (refused === undefined) return [];
    return [
      {
        code: 'passthrough-refused',
        message: `qemu.qmp[${index}]: ${execute} is refused (${refused.rule}): ${refused.reason}`,
        hint: `${refused.cure[0]?.toUpperCase() ?? ''}${refused.cure.slice(1)}.`,
        path: ['qemu', 'qmp', index, 'execute'],
      },
    ];
  });
}

/** What QEMU would fail on is told before the start. */
function unreachable({
  index,
  option,
  kind,
  resource,
  access,
  grant,
  cure,
  certain,
}: PassthroughFinding): readonly Fault[] {
  if (grant !== null || !certain) return [];
  const ofCommand = option.startsWith('qmp ');
  const place = ofCommand ? `qemu.qmp[${index}]` : `qemu.args[${index}]`;
  return [
    {
      code: 'passthrough-unreachable',
      message: `${place}: ${option} names ${kind} ${JSON.stringify(resource)}${access === 'rw' && kind === 'file' ? ' to be written' : ''}, which the jail does not show`,
      hint:
        kind === 'descriptor' || kind === 'program' ? cure : `To grant it, add to the definition: ${cure}`,
      path: ['qemu', ofCommand ? 'qmp' : 'args', index],
    },
  ];
}
