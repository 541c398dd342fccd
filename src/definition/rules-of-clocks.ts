/** The clocks: one answer to what time it is. */
import type { Draft } from './draft.ts';
import { broken, type Broken } from './rule.ts';

/** Whether this program knows the zone; its names are those of IANA. */
function isKnownZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export function clockHasOneBase({ clock }: Draft): readonly Broken[] {
  if (clock === undefined) return [];
  const faults: Broken[] = [];
  const { base, timezone, offset, start } = clock;
  if (base === 'timezone' && timezone === undefined)
    faults.push(
      broken(['clock', 'base'], 'timezone needs clock.timezone, which is not set', 'Set clock.timezone.'),
    );
  if (base !== 'timezone' && timezone !== undefined)
    faults.push(
      broken(
        ['clock', 'timezone'],
        `counts only with base: timezone, and base is ${base}`,
        'Set base: timezone, or remove timezone.',
      ),
    );
  if (timezone !== undefined && !isKnownZone(timezone))
    faults.push(
      broken(
        ['clock', 'timezone'],
        `there is no time zone "${timezone}"`,
        'See `timedatectl list-timezones`.',
      ),
    );
  if (start !== undefined && (base !== 'utc' || offset !== 0))
    faults.push(
      broken(
        ['clock', 'start'],
        'a clock with a fixed start has no base and no offset',
        'Remove one of them.',
      ),
    );
  if (start !== undefined && !new Date(`${start}Z`).toISOString().startsWith(start))
    faults.push(broken(['clock', 'start'], `there is no such day: ${start}`, 'Name a day of that month.'));
  return faults;
}
