/**
 * The drill: a prober in QEMU's place in a machine's own jail tries to get out, and the same prober outside shows that it
 * could. docs/threat-model.md, promise 5.
 */
import { controlSteps, enterNamespaces } from '../../audit/drill/control.ts';
import { isOpened } from '../../audit/drill/opened.ts';
import { judgeProbe, type Tried } from '../../audit/drill/judge.ts';
import type { Probe, Surroundings } from '../../audit/drill/probe.ts';
import type { DrillRow } from '../../audit/drill/report.ts';
import type { Step } from '../../audit/drill/script.ts';
import {
  announce,
  doParts,
  loadQemuDenials,
  type PartResult,
  type Sitting,
} from '../../audit/drill/sitting.ts';
import type { WallName } from '../../plan/launch-plan.ts';
import type { LaunchLimits, LaunchRequest } from '../../protocol/launch.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { ownFile, proberElf, type Outside } from './outside.ts';

/** The memory that the probe of its limit fills: that of a small machine, or more would be taken from the host. */
const drilledMemory = 64 * 1024 * 1024;

/** Runs the prober in the jail of the machine, with these limits, until it has ended. */
export type JailRunner = (argv: readonly string[], limits: LaunchLimits) => Promise<Outcome<Sitting>>;

export interface DrillRequest {
  /** What QEMU would be started with. */
  readonly launch: LaunchRequest;
  readonly probes: readonly Probe[];
  readonly host: Pick<
    Surroundings,
    'managerSocket' | 'brokerSocket' | 'claimsSocket' | 'image' | 'disk' | 'usb'
  >;
  readonly outside: Outside;
  readonly uid: number;
  readonly session?: boolean;
  /** Walls that the jail does not have: of a session without cgroups. */
  readonly lacking?: () => readonly WallName[];
  /** Has the prober load QEMU's own denials; a test does without. */
  readonly denials?: boolean;
  readonly run: JailRunner;
}

export async function runDrill(request: DrillRequest): Promise<Outcome<readonly DrillRow[]>> {
  const places = surroundingsOf(request);
  const asked = request.probes.filter(({ on }) => on === undefined || on(places.inside));
  const jailed = await tryInside(request, asked, places.inside);
  if (!jailed.ok) return jailed;
  const controls = await tryOutside(request, asked, places.outside);
  return success(
    asked.flatMap((probe): readonly DrillRow[] => {
      const [inside, outside] = [jailed.value.get(probe), controls.get(probe)];
      if (inside === undefined || outside === undefined) return [];
      const row = judgeProbe(probe, { jailed: inside, control: outside }, request.lacking?.() ?? []);
      const meant = row.verdict === 'through' && isOpened(probe, request.launch, places.inside);
      return [meant ? { ...row, verdict: 'opened' } : row];
    }),
  );
}

type Results = ReadonlyMap<Probe, Tried>;

function surroundingsOf({ launch, host, outside, session = false }: DrillRequest): {
  readonly inside: Surroundings;
  readonly outside: Surroundings;
} {
  const written = new Set(
    launch.descriptors.flatMap((one) => (one.kind === 'file' && one.access === 'rw' ? [one.path] : [])),
  );
  const fdOf = (access: 'ro' | 'rw'): number | null => {
    const index = launch.descriptors.findIndex((one) => {
      if (one.kind !== 'file' || one.access !== access) return false;
      // What is written anyway can be opened again so by a user's own uid, and is nothing that was to be read alone.
      return session ? access === 'rw' || !written.has(one.path) : !one.reopened;
    });
    return index < 0 ? null : 3 + index;
  };
  const common = {
    ...host,
    pid: outside.pid,
    abstractSocket: outside.abstractSocket,
    tcpPort: outside.tcpPort,
    freeDescriptor: launch.descriptors.length + 40,
    limits: {
      pids: launch.limits.pids,
      memory: Math.min(launch.limits.memory, drilledMemory),
      fileSize: launch.limits.fileSize,
    },
    program: { elf: proberElf, argv: announce() },
  };
  return {
    inside: { ...common, readOnly: fdOf('ro'), writable: fdOf('rw') },
    outside: { ...common, ...ownFile },
  };
}

/** The probe of memory has a jail with less of it. */
async function tryInside(
  { launch, denials = true, run }: DrillRequest,
  asked: readonly Probe[],
  place: Surroundings,
): Promise<Outcome<Results>> {
  const results = new Map<Probe, Tried>();
  const head = denials ? loadQemuDenials() : [];
  const small: LaunchLimits = { ...launch.limits, memory: place.limits.memory };
  for (const probes of splitBy(asked, ({ alone, fillsMemory }) => alone === true || fillsMemory === true)) {
    const parts = probes.map(({ steps }) => steps(place));
    const limits = probes[0]?.fillsMemory === true ? small : launch.limits;
    const done = await doParts(parts, head, (argv) => run(argv, limits));
    if (!done.ok) return done;
    if (done.value === undefined)
      return failure(
        'drill-failed',
        `the prober did not run in the jail of machine "${launch.machine}"`,
        'see `qward doctor`, and the log of qward-manager',
      );
    collect(results, probes, parts, done.value);
  }
  return success(results);
}

/** Those that stand alone by themselves, and the others between them together. */
function splitBy(probes: readonly Probe[], alone: (probe: Probe) => boolean): readonly (readonly Probe[])[] {
  const groups: Probe[][] = [[]];
  for (const probe of probes) {
    if (alone(probe)) groups.push([probe], []);
    else groups.at(-1)?.push(probe);
  }
  return groups.filter((group) => group.length > 0);
}

async function tryOutside(
  { outside, uid }: DrillRequest,
  asked: readonly Probe[],
  place: Surroundings,
): Promise<Results> {
  const results = new Map<Probe, Tried>();
  const groups = splitBy(asked, ({ control, alone }) => control === 'namespaces' || alone === true);
  for (const probes of groups) {
    const parts = probes.map((probe) => controlSteps(probe, place));
    const head = probes[0]?.control === 'namespaces' ? enterNamespaces(uid) : [];
    const done = await doParts(parts, head, async (argv) => success(await outside.run(argv)));
    collect(
      results,
      probes,
      parts,
      done.ok && done.value !== undefined ? done.value : probes.map(() => notGiven),
    );
  }
  return results;
}

/** Namespaces for users are off on this host. */
const notGiven: PartResult = { outcome: { kind: 'results', results: [-38] }, memoryLimit: false };

function collect(
  results: Map<Probe, Tried>,
  probes: readonly Probe[],
  parts: readonly (readonly Step[])[],
  done: readonly PartResult[],
): void {
  for (const [index, probe] of probes.entries()) {
    const [steps, result] = [parts[index], done[index]];
    if (steps !== undefined && result !== undefined) results.set(probe, { steps, result });
  }
}
