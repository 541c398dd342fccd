/** The hardware clock and the timers of the board. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { Accelerator } from './accelerator.ts';
import type { HostFacts } from './launch-plan.ts';
import { keyOption, type Option } from './options.ts';

/** Seconds that a time zone is ahead of UTC at an instant. */
function zoneOffset(zone: string, now: number): number {
  const parts = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' }).formatToParts(
    now,
  );
  const name = parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const [, sign, hours = '0', minutes = '0', seconds = '0'] =
    /^GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(name) ?? [];
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === '-' ? -total : total;
}

/** Seconds that the hardware clock is ahead of UTC. */
function clockOffset({ clock }: MachineDefinition, time: HostFacts['time']): number {
  const zone =
    clock.base === 'timezone' ? clock.timezone : clock.base === 'localtime' ? time.zone : undefined;
  return (zone === undefined ? 0 : zoneOffset(zone, time.now)) + clock.offset;
}

/** The C library takes no zone that is further away (glibc 2.36, time/tzset.c). */
const furthestZone = 86_400;

/** The jail shows no time zones, so QEMU is given an offset as a zone of its own (POSIX: west of Greenwich is positive). */
function zoneOf(offset: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const size = Math.abs(offset);
  const sign = offset > 0 ? '-' : '';
  return `QWARD${sign}${two(Math.floor(size / 3600))}:${two(Math.floor(size / 60) % 60)}:${two(size % 60)}`;
}

export interface Clocks {
  readonly options: readonly Option[];
  readonly machine: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
}

const sources = { host: undefined, guest: 'vm', realtime: 'rt' } as const;

export function planClocks(
  definition: MachineDefinition,
  time: HostFacts['time'],
  accel: Accelerator,
): Clocks {
  const { clock } = definition;
  const offset = clockOffset(definition, time);
  const far = Math.abs(offset) > furthestZone;
  const date = far ? new Date(time.now + offset * 1000).toISOString().slice(0, 19) : undefined;
  const rtc = {
    base: clock.start ?? date ?? (offset === 0 ? undefined : 'localtime'),
    clock: sources[clock.source],
    driftfix: clock.driftFix === 'slew' ? 'slew' : undefined,
  };
  const options: Option[] = [];
  if (Object.values(rtc).some((value) => value !== undefined)) options.push(keyOption('-rtc', null, rtc));
  if (clock.pit !== undefined && accel.kind === 'kvm')
    options.push(keyOption('-global', null, { 'kvm-pit.lost_tick_policy': clock.pit }));
  return {
    options,
    machine: clock.hpet ? { hpet: 'on' } : {},
    env: offset === 0 || far ? {} : { TZ: zoneOf(offset) },
  };
}
