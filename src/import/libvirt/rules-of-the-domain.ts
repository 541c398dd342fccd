/** What a machine is called, how big it is, what follows on which event. */
import type { Plain } from '../../definition/key-path.ts';
import { machineNameOf } from '../machine-name.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, textOf, type XmlElement } from '../xml/xml-node.ts';
import { hostPaths, liveState, noKey } from './phrases.ts';
import { bytesOf, cpuListOf, memoryText, wholeNumberOf } from './quantities.ts';
import type { Place, Rules } from './rule-table.ts';

const mib = 1024 ** 2;

function oneLine(text: string, most: number): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, most).trim();
}

/** A text for a key of one line. */
function lineText(place: Place, key: string, most: number): Verdict {
  const text = oneLine(place.value, most);
  const verdict = place.setMachine(key, text);
  if (verdict.is !== 'imported' || text === place.value) return verdict;
  return changed(`a text of one line, ${most} characters at most, here`);
}

function name(place: Place): Verdict {
  const own = machineNameOf(place.value);
  if (own === undefined) return unsupported(`"${oneLine(place.value, 60)}" is no name; give one with --name`);
  place.setMachine('name', own);
  return own === place.value ? imported : changed(`"${oneLine(place.value, 80)}" is called "${own}" here`);
}

function sizeIn(element: XmlElement | undefined): number | undefined {
  return element === undefined ? undefined : bytesOf(textOf(element), attributeOf(element, 'unit'));
}

function memory(place: Place): Verdict {
  const bytes = sizeIn(place.element);
  if (bytes === undefined) return unsupported(`"${oneLine(place.value, 40)}" is no size`);
  if (bytes < 8 * mib) {
    place.setMachine('memory', '8MiB');
    return changed('8 MiB is the least here');
  }
  return place.setMachine('memory', memoryText(bytes));
}

function currentMemory(place: Place): Verdict {
  const [now, most] = [sizeIn(place.element), sizeIn(childOf(place.draft.root, 'memory'))];
  if (now === undefined || most === undefined || memoryText(now) === memoryText(most)) return imported;
  return changed('the guest begins with all of its memory; the balloon takes it back while it runs');
}

function vcpus(place: Place): Verdict {
  const count = wholeNumberOf(place.value);
  if (count === undefined) return unsupported(`"${oneLine(place.value, 40)}" is no number of CPUs`);
  const now = wholeNumberOf(attributeOf(place.element, 'current') ?? '') ?? count;
  if (now < count) place.setMachine('cpu.maximum', count);
  return place.setMachine('cpu.count', Math.max(now, 1));
}

function cpuList(key: string) {
  return (place: Place): Verdict => {
    const list = cpuListOf(place.value);
    return list === undefined ? unsupported('no list of CPUs such as 0-3,^2') : place.setMachine(key, list);
  };
}

/** Events, each value of libvirt with ours. */
function event(key: string, values: Readonly<Record<string, readonly [value: string, note?: string]>>) {
  return (place: Place): Verdict => {
    const [value, note] = values[place.value] ?? [];
    if (value === undefined) return unsupported(`"${oneLine(place.value, 40)}" is no action that ${key} has`);
    const verdict = place.setMachine(key, value);
    return note === undefined ? verdict : changed(note);
  };
}

function maxMemory(place: Place): Verdict {
  const bytes = sizeIn(place.element);
  if (bytes === undefined) return unsupported('no size');
  const most = 64 * 1024 ** 4;
  const verdict = place.setMachine('memoryMaximum', memoryText(Math.min(bytes, most)));
  return bytes > most && verdict.is === 'imported' ? changed('64 TiB at most') : verdict;
}

function domainType(place: Place): Verdict {
  // Unset takes KVM where it was proved to work.
  return place.value === 'qemu' ? place.setMachine('accel', 'tcg') : imported;
}

/** Labels stay qward's own; what would lower a wall is proposed, never done. */
function securityLabel(place: Place): Verdict {
  const { element } = place;
  const [type, model] = [attributeOf(element, 'type') ?? 'dynamic', attributeOf(element, 'model') ?? ''];
  const label = oneLine(textOf(childOf(element, 'label')), 120);
  if (type === 'none') {
    const propose = model === 'apparmor' ? 'apparmor: unconfined' : 'selinux: none';
    return whole(
      model === 'dac'
        ? changed('the machine has a uid of its own all the same')
        : changed(
            `the machine stays confined; where it needs less: confinement: {${propose}}, with a line in the policy`,
          ),
    );
  }
  // Labels of a running machine, made by libvirt.
  if (type === 'dynamic') return whole(imported);
  if (model === 'dac') {
    const [user] = label.replaceAll('+', '').split(':');
    return whole(
      label === ''
        ? changed('the machine has a uid of its own')
        : changed(
            `the machine has a uid of its own; where it must be another account: confinement: {user: ${user}}, with a line in the policy`,
          ),
    );
  }
  return whole(
    changed(
      `the machine has a label of its own; where it must be this one: confinement: {${model === 'apparmor' ? 'apparmor' : 'selinux'}: ${JSON.stringify(label)}}, with a line in the policy`,
    ),
  );
}

/** A key that `qward export` kept, since libvirt has no words for it. */
function ownKey(place: Place): Verdict {
  try {
    const value: Plain = JSON.parse(place.value);
    place.draft.ownKeys.push({ key: attributeOf(place.element, 'key') ?? '', value, node: place.node });
    return imported;
  } catch {
    return unsupported('no JSON');
  }
}

export const rulesOfTheDomain: Rules = {
  '@type': domainType,
  '@id': liveState,
  name: imported,
  'name#': name,
  'uuid#': (place) => place.setMachine('uuid', place.value.toLowerCase()),
  'hwuuid#': changed('the guest sees the one uuid that the machine has'),
  'genid#': (place) => place.setMachine('generationId', place.value.toLowerCase()),
  genid: (place) => (textOf(place.element) === '' ? place.setMachine('generationId', 'auto') : imported),
  'title#': (place) => lineText(place, 'title', 120),
  'description#': (place) => lineText(place, 'description', 1024),
  metadata: imported,
  'metadata/qward:machine': imported,
  'metadata/qward:machine/qward:set@key': imported,
  'metadata/qward:machine/qward:set#': ownKey,
  'metadata/libosinfo:libosinfo/**': changed('notes of virt-manager about the guest; not kept'),
  'metadata/**': changed('notes of other programs; not kept'),
  'memory#': memory,
  'memory@unit': imported,
  'memory@dumpCore': (place) =>
    place.value === 'off' ? imported : changed("a guest's memory is never in a core file"),
  'currentMemory#': currentMemory,
  'currentMemory@unit': imported,
  'maxMemory#': maxMemory,
  'maxMemory@unit': imported,
  'maxMemory@slots': (place) => place.setMachine('memorySlots', wholeNumberOf(place.value) ?? 0),
  'vcpu#': vcpus,
  'vcpu@current': imported,
  'vcpu@placement': (place) =>
    place.value === 'static' ? imported : changed('no placement by numad; cpu.pinning places CPUs'),
  'vcpu@cpuset': cpuList('cpu.pinning.machine'),
  'vcpus/**': changed('which of the CPUs are plugged in at the start is by their order'),
  'iothreads#': (place) => place.setMachine('iothreads', wholeNumberOf(place.value) ?? 0),
  'iothreadids/iothread@id': imported,
  'iothreadids/iothread@thread_pool_min': changed('QEMU decides how many threads its pool has'),
  'iothreadids/iothread@thread_pool_max': changed('QEMU decides how many threads its pool has'),
  'defaultiothread/**': changed('QEMU decides how many threads its pool has'),
  'resource/partition#': changed('each machine has a cgroup of its own below qward'),
  'resource/fibrechannel/**': unsupported(noKey),
  'on_poweroff#': event('onPowerOff', {
    destroy: ['stop'],
    restart: ['restart'],
    preserve: ['stop', 'a machine that powers off is not kept paused'],
    'rename-restart': ['restart', 'a machine keeps its name'],
  }),
  'on_reboot#': event('onReboot', {
    restart: ['reset'],
    destroy: ['stop'],
    preserve: ['stop', 'a machine that reboots is not kept paused'],
    'rename-restart': ['reset', 'a machine keeps its name'],
  }),
  'on_crash#': event('onCrash', {
    destroy: ['stop'],
    restart: ['restart'],
    preserve: ['pause'],
    'rename-restart': ['restart', 'a machine keeps its name'],
    'coredump-destroy': ['stop', 'no memory dump is made of a crashed guest'],
    'coredump-restart': ['restart', 'no memory dump is made of a crashed guest'],
  }),
  'on_lockfailure#': changed('images are locked by QEMU; there is no lock manager'),
  'perf/event@name': changed('no performance counters of the host for the machine'),
  'perf/event@enabled': imported,
  seclabel: securityLabel,
  'keywrap/**': unsupported('for s390 only'),
  'launchSecurity/**': unsupported('no encrypted memory (SEV, TDX)'),
  'bootloader#': unsupported('for Xen only'),
  'bootloader_args#': unsupported('for Xen only'),
  devices: imported,
  'devices/emulator#': (place) => (place.value === '/usr/bin/qemu-system-x86_64' ? imported : hostPaths),
};
