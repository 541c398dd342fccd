/** The definition of a new machine, as its owner will read and edit it. Pure. */

export type Network =
  | { readonly kind: 'none' }
  | { readonly kind: 'bridge'; readonly bridge: string }
  | { readonly kind: 'user'; readonly sshPort?: number };

export interface MachineText {
  readonly name: string;
  readonly cpus: number;
  /** As the user wrote it: `2G`. */
  readonly memory: string;
  readonly disk: string;
  readonly uefi: boolean;
  readonly network: Network;
  /** What it starts from: an image with its seed, or a disc. */
  readonly from:
    | { readonly image: string; readonly seed: string; readonly runner: boolean }
    | { readonly iso: string };
}

/** A path in double quotes: JSON's are YAML's. */
const quoted = (path: string): string => JSON.stringify(path);

export function machineText(machine: MachineText): string {
  const { name, cpus, memory, uefi, from } = machine;
  const head =
    'image' in from
      ? `# Made by "qward create" from the image ${from.image}; log in with: qward ssh ${name}`
      : `# Made by "qward create" to install from a disc; see it with: qward vnc ${name}`;
  const lines = [
    head,
    `name: ${name}`,
    ...('iso' in from ? ['title: Desktop'] : []),
    'cpu:',
    `  count: ${cpus}`,
    `memory: ${memory}`,
    ...(uefi ? ['firmware: uefi'] : []),
    ...diskLines(machine),
    ...networkLines(machine),
    ...('iso' in from
      ? desktopLines(from.iso, uefi)
      : ['agent: true # used where the guest has qemu-guest-agent', ...(from.runner ? runnerLines : [])]),
  ];
  return `${lines.join('\n')}\n`;
}

const runnerLines: readonly string[] = [
  'runner: true # by it `qward run --from` gives commands to copies of this machine, once it is saved',
  'generationId: auto # by it copies know to draw new random numbers',
];

function diskLines({ disk, from }: MachineText): readonly string[] {
  const root = ['disks:', '  - id: root', `    path: ${quoted(disk)}`, '    format: qcow2'];
  // Installers of every system know SATA; virtio needs a driver on Windows.
  if ('iso' in from) return [...root, '    bus: sata'];
  return [
    ...root,
    '  # What cloud-init reads at the first start: keys, name, network. It can go when the machine has been up once.',
    '  - id: seed',
    `    path: ${quoted(from.seed)}`,
    '    format: raw',
    '    readonly: true',
  ];
}

function networkLines({ network, from }: MachineText): readonly string[] {
  if (network.kind === 'none') return [];
  const card = ['nics:', '  - id: lan', `    kind: ${network.kind}`];
  const model = 'iso' in from ? ['    model: e1000e'] : [];
  if (network.kind === 'bridge') return [...card, `    bridge: ${network.bridge}`, ...model];
  if (network.sshPort === undefined) return [...card, ...model];
  return [...card, `    forward: ["127.0.0.1:${network.sshPort} -> 22"] # ssh`, ...model];
}

/** BIOS finds the registers of VGA on the card of virtio too; UEFI gives an installer no plain frame there. */
const desktopLines = (iso: string, uefi: boolean): readonly string[] => [
  'cdroms:',
  '  - id: install',
  `    path: ${quoted(iso)}`,
  'boot:',
  '  order: [root, install] # the disc counts as long as nothing is installed',
  'vnc: true # with a tablet on USB: the pointer is where it is',
  ...(uefi
    ? ['# video: { model: virtio } # once the guest has its driver: the screen is as large as the window']
    : ['video:', '  model: virtio # with its driver in the guest the screen is as large as the window']),
  'clipboard: true # one with yours, where the guest has spice-vdagent; remove it, and the guest sees nothing of yours',
  'sound:',
  '  model: ich9 # in a session heard by: server: /run/user/UID/pulse/native',
];
