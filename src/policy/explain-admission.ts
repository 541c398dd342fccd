/** What of a launch the policy admits, part by part, with the key that decides. For people: admission itself is admit.ts. */
import type { Refusal } from '../protocol/broker.ts';
import type { Descriptor, LaunchLimits, LaunchRequest } from '../protocol/launch.ts';
import { admit } from './admit.ts';
import { lineOf } from './admit-relaxations.ts';
import { grantOf, type FileGrounds } from './file-rules.ts';
import type { Policy } from './policy.ts';

export interface AdmissionRow {
  /** `QEMU`, `file (rw)`, `bridge`, `device`, `limit memory`. */
  readonly what: string;
  /** The host's resource: a path, a name, bytes. */
  readonly resource: string;
  /** The key that decides; null: the policy need not speak of it. */
  readonly rule: string | null;
  readonly refusal: Refusal | null;
}

export function explainAdmission(launch: LaunchRequest, grounds: FileGrounds): readonly AdmissionRow[] {
  const alone = nothingOf(launch);
  const always = admit(alone, grounds);
  const row = (
    what: string,
    resource: string,
    part: Partial<LaunchRequest>,
    rule: string | null,
  ): AdmissionRow => {
    // What is said of the program is said with every part.
    const refusal = admit({ ...alone, ...part }, grounds)[always.length] ?? null;
    return { what, resource, rule: refusal === null ? rule : (refusal.rule ?? null), refusal };
  };
  const { policy } = grounds;
  return [
    programRow(launch, policy, always[0] ?? null),
    ...distinct(launch.descriptors).map((descriptor) => {
      const { what, resource, rule } = describe(descriptor, grounds);
      return row(what, resource, { descriptors: [descriptor] }, rule);
    }),
    ...launch.devices.map((device) =>
      row('device', device, { devices: [device] }, itemOf(policy, 'devices', device)),
    ),
    ...(launch.shown ?? []).map((one) => {
      const grant = one.kind === 'file' ? grantOf(one, grounds) : null;
      const place = grant?.ok === true ? grant.place : null;
      const rule = one.kind === 'socket' ? 'sockets' : place === null ? 'ownerClaims' : (place.rule ?? null);
      return row(`${one.kind} (${one.access})`, one.path, { shown: [one] }, rule);
    }),
    ...(launch.relaxed ?? []).map((one) => {
      const line = lineOf(one, launch.machine, policy);
      const rule = line < 0 ? 'relaxations' : `relaxations[${line}]`;
      return row('relaxation', `${one.relax} ${one.to}`, { relaxed: [one] }, rule);
    }),
    ...limitKeys.map((key) => {
      const limits = { ...alone.limits, [key]: launch.limits[key] };
      return row(`limit ${key}`, String(launch.limits[key]), { limits }, `ceilings.${key}`);
    }),
  ];
}

const limitKeys = [
  'memory',
  'pids',
  'openFiles',
  'fileSize',
] as const satisfies readonly (keyof LaunchLimits)[];

function nothingOf(launch: LaunchRequest): LaunchRequest {
  const limits = { ...launch.limits, memory: 0, pids: 0, openFiles: 0, fileSize: 0 };
  return { ...launch, descriptors: [], devices: [], root: [], limits, relaxed: [], shown: [] };
}

function programRow(launch: LaunchRequest, policy: Policy, refusal: Refusal | null): AdmissionRow {
  const key = launch.program === 'qemu-img' ? 'imageTools' : 'qemuBinaries';
  const rule = refusal === null ? itemOf(policy, key, launch.binary) : (refusal.rule ?? null);
  return { what: 'program', resource: launch.binary, rule, refusal };
}

/** Sockets are qward's own; what a card of a managed network, a further queue and a USB device are is admitted elsewhere. */
const own = ['socket', 'netdev', 'card', 'queue', 'usb'] as const;
type OfHost = Exclude<Descriptor, { kind: (typeof own)[number] }>;

const isOfHost = (descriptor: Descriptor): descriptor is OfHost =>
  !own.some((kind) => kind === descriptor.kind);

/** A writable disk is two descriptors of one file. */
function distinct(descriptors: readonly Descriptor[]): readonly OfHost[] {
  const kept = new Map<string, OfHost>();
  for (const descriptor of descriptors.filter(isOfHost)) {
    const key = descriptor.kind === 'file' ? descriptor.path : JSON.stringify(descriptor);
    const before = kept.get(key);
    if (before?.kind !== 'file' || before.access === 'ro') kept.set(key, descriptor);
  }
  return [...kept.values()];
}

function describe(
  descriptor: OfHost,
  grounds: FileGrounds,
): Pick<AdmissionRow, 'what' | 'resource' | 'rule'> {
  const { policy } = grounds;
  switch (descriptor.kind) {
    case 'file': {
      const { path, access } = descriptor;
      const grant = grantOf(descriptor, grounds);
      const rule = grant.ok ? (grant.place === null ? 'ownerClaims' : (grant.place.rule ?? null)) : null;
      return { what: `file (${access})`, resource: path, rule };
    }
    case 'tap':
      return {
        what: 'bridge',
        resource: descriptor.bridge,
        rule: bridgeRuleOf(policy, descriptor.bridge),
      };
    case 'vhost-net':
      return {
        what: 'device',
        resource: '/dev/vhost-net',
        rule: itemOf(policy, 'devices', '/dev/vhost-net'),
      };
  }
}

const bridgeRuleOf = ({ bridges }: Policy, name: string): string => {
  const index = bridges.findIndex(({ bridge }) => bridge === name);
  return index < 0 ? 'bridges' : `bridges[${index}]`;
};

function itemOf(policy: Policy, key: 'devices' | 'qemuBinaries' | 'imageTools', item: string): string {
  const index = policy[key].indexOf(item);
  return index < 0 ? key : `${key}[${index}]`;
}
