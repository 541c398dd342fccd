/** The namespace `qemu:`, by which arguments and variables are passed to QEMU as they are. */
import { imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf } from '../xml/xml-node.ts';
import type { Place, Rules } from './rule-table.ts';

const quoted = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll("'", '&apos;').replaceAll('<', '&lt;');

/** An option and its value are two arguments; QEMU takes "-device x" in one for the name of an option. */
function argument(place: Place): Verdict {
  const [, option, value] = /^(-[^\s=,]+)\s+(.+)$/s.exec(place.value) ?? [];
  if (option !== undefined && value !== undefined)
    return unsupported(
      `option and value in one argument, which QEMU does not take; write <qemu:arg value='${quoted(option)}'/> <qemu:arg value='${quoted(value)}'/>`,
    );
  return place.append('qemu.args', place.value);
}

function variable(place: Place): Verdict {
  const name = attributeOf(place.element, 'name');
  if (name === undefined) return whole(unsupported('a variable without a name'));
  const value = attributeOf(place.element, 'value');
  const entry = value === undefined ? { name } : { name, value };
  return whole(place.append('qemu.env', entry));
}

export const rulesOfQemu: Rules = {
  'qemu:commandline': imported,
  'qemu:commandline/qemu:arg@value': argument,
  'qemu:commandline/qemu:env': variable,
  'qemu:capabilities': whole(unsupported('what QEMU can do is not libvirt’s to say here')),
  'qemu:override': whole(
    unsupported('properties of devices are changed by qemu.qmp or by -set in qemu.args'),
  ),
  'qemu:deprecation': whole(unsupported('what QEMU calls deprecated is logged')),
};
