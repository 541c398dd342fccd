/** Relaxations whose last day is over. */
import type { Fault } from '../definition/fault.ts';
import { relaxationsOf, relaxationText } from '../definition/relaxations.ts';
import type { MachineDefinition } from '../definition/schema.ts';

/** By the day of the host's clock in UTC, so that it is the same whoever starts the machine. */
export function expiredFaults(definition: MachineDefinition, now: Date): readonly Fault[] {
  const today = now.toISOString().slice(0, 10);
  return relaxationsOf(definition).flatMap((one) => {
    const { until, path } = one;
    if (until === undefined || until >= today) return [];
    const place = path.reduce<string>(
      (text, part) =>
        typeof part === 'number' ? `${text}[${part}]` : `${text === '' ? '' : `${text}.`}${part}`,
      '',
    );
    return [
      {
        code: 'relaxation-expired',
        message: `${place}: ${relaxationText(one)} was given until ${until}, which is over`,
        hint: `${renewal(definition.name, path)}; or take it out of the definition`,
        path,
      },
    ];
  });
}

/** `set` reaches keys by name; an item of a list, and a namespace, stand in the text. */
function renewal(name: string, path: readonly (string | number)[]): string {
  const group = path[1] === 'namespaces' ? path.slice(0, 2) : path;
  if (group.some((part) => typeof part === 'number'))
    return `to renew it, write a later day: \`qward edit ${name}\`, "until: YYYY-MM-DD" beside it`;
  return `to renew it: qward set ${name} ${group.join('.')}.until=YYYY-MM-DD`;
}
