/** What the arguments of `qemu.args` reach of the host, each with the grant that gives it, or the line that would. */
import type { Fault } from '../../definition/fault.ts';
import { relaxationsOf } from '../../definition/relaxations.ts';
import { hostResources, type HostResource } from './host-resources.ts';
import { readOptions, type QemuOption } from './qemu-options.ts';
import type { PassthroughFinding } from './finding.ts';
import { refusalOf } from './refused-options.ts';

export interface Linted {
  readonly findings: readonly PassthroughFinding[];
  /** Arguments that are refused whatever is granted. */
  readonly refusals: readonly Fault[];
}

export type Granted = Parameters<typeof relaxationsOf>[0];

/** `shown`: what the jail shows in any case, beneath /usr. */
export function lintArguments(args: readonly string[], granted: Granted, shown: readonly string[]): Linted {
  const options = readOptions(args);
  const refusals = options.flatMap(refuse);
  const findings = options.flatMap((option) =>
    judgeResources({ index: option.index, option: `-${option.name}` }, hostResources(option), {
      granted,
      shown,
    }),
  );
  return { findings, refusals };
}

export interface Grants {
  readonly granted: Granted;
  readonly shown: readonly string[];
}

/** Each resource of one option, once. */
export function judgeResources(
  place: Pick<PassthroughFinding, 'index' | 'option'>,
  resources: readonly HostResource[],
  grants: Grants,
): readonly PassthroughFinding[] {
  const distinct = new Map(resources.map((resource) => [`${resource.kind} ${resource.name}`, resource]));
  return [...distinct.values()].map((resource) => {
    const grant = grantOf(resource, grants);
    const { kind, name, access, certain } = resource;
    return {
      ...place,
      kind,
      resource: name,
      access,
      grant,
      cure: grant === null ? cureOf(resource) : '',
      certain,
    };
  });
}

function refuse(option: QemuOption): readonly Fault[] {
  const path = ['qemu', 'args', option.index];
  if (/\s/.test(option.name))
    return [
      {
        code: 'definition-invalid',
        message: `qemu.args[${option.index}]: "-${option.name}" is option and value in one entry`,
        hint: `Write two entries: "-${option.name.split(/\s/)[0] ?? ''}" and its value.`,
        path,
      },
    ];
  if (option.value === null)
    return [
      {
        code: 'definition-invalid',
        message: `qemu.args[${option.index}]: -${option.name} takes a value, and none comes after it`,
        hint: 'Write the value as the next entry of qemu.args.',
        path,
      },
    ];
  const refused = refusalOf(option);
  if (refused === undefined) return [];
  return [
    {
      code: 'passthrough-refused',
      message: `qemu.args[${option.index}]: -${option.name}${option.value === '' ? '' : ` ${option.value}`} is refused (${refused.rule}): ${refused.reason}`,
      hint: `${refused.cure[0]?.toUpperCase() ?? ''}${refused.cure.slice(1)}.`,
      path,
    },
  ];
}

const within = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);

export function grantOf({ kind, name, access }: HostResource, { granted, shown }: Grants): string | null {
  const relaxations = relaxationsOf(granted);
  const labelled = (found: (typeof relaxations)[number] | undefined): string | null =>
    found === undefined ? null : labelOf(found.path);
  switch (kind) {
    case 'file':
    case 'directory':
      if (access === 'ro' && shown.some((path) => within(name, path)))
        return 'the system files of every jail';
      return labelled(
        relaxations.find(
          (one) => one.relax === 'file' && within(name, one.to) && (access === 'ro' || one.access === 'rw'),
        ),
      );
    case 'device':
      if (name === '/dev/kvm') return 'accel';
      return labelled(relaxations.find((one) => one.relax === 'device' && one.to === name));
    case 'socket':
      return labelled(
        relaxations.find(
          (one) =>
            (one.relax === 'socket' && one.to === name) ||
            (one.relax === 'file' && one.access === 'rw' && within(name, one.to)),
        ),
      );
    case 'socket listens':
      return labelled(
        relaxations.find(
          (one) => one.relax === 'file' && one.access === 'rw' && one.to !== name && within(name, one.to),
        ),
      );
    case 'network':
    case 'network listens':
      return (
        labelled(relaxations.find((one) => one.relax === 'namespace' && one.to === 'net')) ??
        // In a network of its own, which leads nowhere.
        labelled(
          relaxations.find(
            (one) => one.relax === 'seccomp' || (one.relax === 'syscall' && one.to === 'socket'),
          ),
        )
      );
    case 'descriptor':
    case 'program':
      return null;
  }
}

const labelOf = (path: readonly (string | number)[]): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : `${text === '' ? '' : `${text}.`}${part}`,
    '',
  );

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

/** The exact line of YAML, where there is one. */
export function cureOf({ kind, name, access }: HostResource): string {
  const quoted = JSON.stringify(name);
  switch (kind) {
    case 'file':
    case 'directory':
      return `confinement: {files: [{path: ${quoted}, access: ${access}}]}`;
    case 'device':
      return `confinement: {devices: [${quoted}]}, and ${quoted} in devices of the policy`;
    case 'socket':
      return `confinement: {sockets: [${quoted}]}, and {"path": ${quoted}} in sockets of the policy`;
    case 'socket listens':
      return `confinement: {files: [{path: ${JSON.stringify(parentOf(name))}, access: rw}], seccomp: {allow: [socket, bind, unlink]}}, the directory that the socket is made in; and {"relax": "syscall", "to": "socket"}, the same of bind and unlink, in relaxations of the policy`;
    case 'network':
    case 'network listens':
      return 'confinement: {namespaces: {net: host}}, and {"relax": "namespace", "to": "net"} in relaxations of the policy';
    case 'descriptor':
      return 'descriptors are numbered by qward: name the file in confinement.files, and its path here';
    case 'program':
      return 'QEMU starts no program; use a nic or a hook of the definition, or confinement: {seccomp: off} and the program in confinement.files';
  }
}
