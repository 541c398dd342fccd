/** Whether the host can give PCI and USB devices away, and what stands in the way. Pure: what the host says comes in as facts. */
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';

export interface GroupMember {
  readonly address: string;
  /** Of sysfs: `0x060400`. */
  readonly class: string;
  /** Empty: none. */
  readonly driver: string;
}

/** What sysfs says of one device; null: there is none at the address. */
export interface HostDevice {
  /** Number of its IOMMU group; null: the host uses no IOMMU. */
  readonly group: string | null;
  /** Of the group, the device among them. */
  readonly members: readonly GroupMember[];
  /** The firmware showed the host's first screen by it. */
  readonly bootDisplay: boolean;
  /** Mount points, swap and the like that are on it. */
  readonly holds: readonly string[];
  /** Network interfaces of it that are up. */
  readonly upLinks: readonly string[];
}

/** A USB device of the host. */
export interface HostUsbDevice {
  readonly port: string;
  readonly id: string;
  readonly isHub: boolean;
  readonly holds: readonly string[];
}

export interface HostDeviceFacts {
  /** All of the host; looked at where the definition has one. */
  readonly usb: readonly HostUsbDevice[];
  readonly devices: Readonly<Record<string, HostDevice | null>>;
  /** Whether the driver vfio-pci is loaded. */
  readonly hasDriver: boolean;
}

/** Bridges of a group stay with the host (drivers/vfio/vfio.c allows pcieport). */
const isBridge = ({ class: kind }: GroupMember): boolean => kind.startsWith('0x06');
const free: ReadonlySet<string> = new Set(['', 'vfio-pci', 'pci-stub']);

type Definition = Pick<MachineDefinition, 'hostDevices'>;

export const hostDeviceFaults = (definition: Definition, facts: HostDeviceFacts): readonly Fault[] => [
  ...pciFaults(definition, facts),
  ...usbFaults(definition, facts),
];

const fits = (usb: string, devices: readonly HostUsbDevice[]): readonly HostUsbDevice[] =>
  devices.filter(({ port, id }) => port === usb || id === usb);

/** Ids of those that are not there, and need not be. */
export const absentUsb = (
  { hostDevices }: Definition,
  { usb: devices }: Pick<HostDeviceFacts, 'usb'>,
): readonly string[] =>
  hostDevices.flatMap(({ id, usb, optional }) =>
    usb !== undefined && optional && fits(usb, devices).length === 0 ? [id] : [],
  );

/** As the broker decides it, which looks for itself; and what keeps an administrator from a mistake. */
function usbFaults({ hostDevices }: Definition, { usb: devices }: HostDeviceFacts): readonly Fault[] {
  return hostDevices.flatMap(({ usb, optional }, index) => {
    if (usb === undefined) return [];
    const fault = (code: string, message: string, hint: string): Fault => ({
      code,
      message: `USB device ${usb} ${message}`,
      hint,
      path: ['hostDevices', index, 'usb'],
    });
    const found = fits(usb, devices);
    const [device] = found;
    if (device === undefined) {
      if (optional) return [];
      const there = devices.flatMap(({ id, port, isHub }) => (isHub ? [] : [`${id} at ${port}`]));
      return [
        fault(
          'file-missing',
          'is not there',
          `plug it in, or say \`optional: true\`; the host has ${there.join(', ') || 'none'}`,
        ),
      ];
    }
    if (found.length > 1)
      return [
        fault(
          'device-kept',
          `is there ${found.length} times, at ${found.map(({ port }) => port).join(', ')}`,
          'name one by its port',
        ),
      ];
    if (device.isHub)
      return [fault('device-kept', 'is a hub, which carries others', 'name what is plugged into it')];
    return device.holds.map((what) => fault('device-kept', `is in use: ${what}`, 'take it out of use first'));
  });
}

function pciFaults({ hostDevices }: Definition, { devices, hasDriver }: HostDeviceFacts): readonly Fault[] {
  const given = new Set(hostDevices.map(({ pci }) => pci));
  return hostDevices.flatMap(({ pci }, index) => {
    if (pci === undefined) return [];
    const fault = (code: string, message: string, hint: string): Fault => ({
      code,
      message: `PCI device ${pci} ${message}`,
      hint,
      path: ['hostDevices', index, 'pci'],
    });
    const device = devices[pci] ?? null;
    if (device === null) return [fault('file-missing', 'is not there', '`lspci -D` shows which there are')];
    if (device.group === null)
      return [
        fault(
          'wall-missing',
          'has no IOMMU group: without an IOMMU it would reach all memory of the host',
          'switch VT-d or AMD-Vi on in the firmware, and boot with intel_iommu=on (Intel)',
        ),
      ];
    const beside = device.members.filter(
      (member) => !given.has(member.address) && !isBridge(member) && !free.has(member.driver),
    );
    return [
      ...(hasDriver
        ? []
        : [fault('file-missing', 'needs the driver vfio-pci', 'load it: `modprobe vfio-pci`')]),
      ...(device.bootDisplay
        ? [
            fault(
              'device-kept',
              'is the graphics card with which the host booted',
              'let the firmware begin with another one, or give another one',
            ),
          ]
        : []),
      ...beside.map(({ address, driver }) =>
        fault(
          'device-kept',
          `is in IOMMU group ${device.group ?? ''} with ${address}, which ${driver} has: neither can be given alone`,
          `give both (hostDevices, and a line of the policy for each), or unbind ${address}, or use another slot`,
        ),
      ),
      ...device.holds.map((what) =>
        fault('device-kept', `is in use: ${what}`, 'take it out of use first, in /etc/fstab as well'),
      ),
      ...device.upLinks.map((name) =>
        fault('device-kept', `is the network interface ${name}, which is up`, `ip link set ${name} down`),
      ),
    ];
  });
}
