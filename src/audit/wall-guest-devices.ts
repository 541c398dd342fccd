/** What QEMU itself was told: nothing by default, its four denials, no user network, no floppy, nothing nested. */
import { parseArguments, parseKeys, type Argument } from './arguments.ts';
import { categoryOf } from '../plan/sandbox-categories.ts';
import { hasNoGuest, relaxedTo, type ExpectedWalls } from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';

const denials = ['obsolete', 'elevateprivileges', 'spawn', 'resourcecontrol'] as const;

export function compareGuestDevices(state: ProcessState, expected: ExpectedWalls): Finding {
  const { cmdline, exe } = state.facts;
  const planned = expected === null || cmdline.slice(1).join('\0') === expected.launch.argv.join('\0');
  const others = planned ? [] : ['arguments other than those of the plan'];
  if (expected !== null && hasNoGuest(expected.launch.program))
    return judge('no guest, and arguments as planned', others);
  const args = parseArguments(cmdline.slice(1));
  const faults = [
    ...['nodefaults', 'no-user-config'].flatMap((name) => (has(args, name) ? [] : [`no -${name}`])),
    ...faultsOfSandbox(args, expected),
    ...faultsOfDevices(args),
    ...(/(?:x86_64|i386|kvm)$/.test(exe) ? faultsOfNesting(args) : []),
    ...others,
  ];
  return judge('no defaults, four denials, no user network, no floppy, nothing nested', faults);
}

const has = (args: readonly Argument[], name: string): boolean => args.some((one) => one.name === name);

/** The last value of each key counts, as in QEMU. */
function faultsOfSandbox(args: readonly Argument[], expected: ExpectedWalls): string[] {
  if (relaxedTo(expected, 'seccomp').includes('off')) return [];
  const open = relaxedTo(expected, 'syscall').map(categoryOf);
  const sandboxes = args.filter(({ name }) => name === 'sandbox');
  if (sandboxes.length === 0) return ['no -sandbox'];
  const keys = new Map(sandboxes.flatMap(({ value }) => [...parseKeys(value, 'enable')]));
  const lacking = denials.filter((key) => keys.get(key) !== 'deny' && !open.includes(key));
  return [
    ...(keys.get('enable') === 'on' ? [] : ['-sandbox is not on']),
    ...(lacking.length > 0 ? [`-sandbox does not deny ${lacking.join(', ')}`] : []),
  ];
}

function faultsOfDevices(args: readonly Argument[]): string[] {
  return args.flatMap(({ name, value }) => {
    const option = `-${name} ${value}`;
    switch (name) {
      case 'netdev':
      case 'nic':
      case 'net':
        return parseKeys(value, 'type').get('type') === 'user'
          ? [`user network in the process (${option})`]
          : [];
      case 'fda':
      case 'fdb':
        return [`floppy (${option})`];
      case 'drive':
        return parseKeys(value, 'file').get('if') === 'floppy' ? [`floppy (${option})`] : [];
      case 'device':
        return /^(?:floppy|isa-fdc)$/.test(parseKeys(value, 'driver').get('driver') ?? '')
          ? [`floppy (${option})`]
          : [];
      case 'readconfig':
        return [`devices from a file that is not looked at (${option})`];
      default:
        return [];
    }
  });
}

/** Off only where both are switched off: models of both makers, `host` and `max` may bring either. */
export function faultsOfNesting(args: readonly Argument[]): string[] {
  const cpu = args.findLast(({ name }) => name === 'cpu');
  const features = (cpu?.value ?? '').split(',').slice(1);
  const isOff = (name: string): boolean => {
    const last = features.findLast((text) => text.replace(/^[+-]/, '').split('=')[0] === name);
    return last === `-${name}` || last === `${name}=off`;
  };
  const open = ['vmx', 'svm'].filter((name) => !isOff(name));
  return open.length === 0 ? [] : [`nested virtualisation is not switched off (${open.join(', ')})`];
}
