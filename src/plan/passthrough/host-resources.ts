/** What of the host one option of QEMU's command line names: files, devices, sockets, ports, programs. QEMU 7.2. */
import { isOn, leavesOf, valueOf, type Leaf } from './option-values.ts';
import type { QemuOption } from './qemu-options.ts';

export interface HostResource {
  /** listens: a port or a socket that others are to reach; it is made by QEMU. */
  readonly kind:
    | 'file'
    | 'directory'
    | 'device'
    | 'socket'
    | 'socket listens'
    | 'network'
    | 'network listens'
    | 'program'
    | 'descriptor';
  /** A path, `host:port`, a program's name. */
  readonly name: string;
  readonly access: 'ro' | 'rw';
  /** QEMU surely opens it; else it only looks like a path. */
  readonly certain: boolean;
}

/** Options whose whole value is a path. */
const paths: Readonly<Record<string, HostResource['access'] | 'directory'>> = {
  bios: 'ro',
  kernel: 'ro',
  dtb: 'ro',
  'option-rom': 'ro',
  L: 'directory',
  D: 'rw',
  'dump-vmstate': 'rw',
  'mem-path': 'rw',
  shim: 'ro',
};
/** Options whose value names an image, which may be one of a protocol. */
const images = new Set(['hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'sd', 'pflash', 'mtdblock']);
/** Options whose value is a character device in the old form. */
const characterDevices = new Set([
  'serial',
  'parallel',
  'debugcon',
  'gdb',
  'semihosting-config',
  'virtioconsole',
]);
/** Options whose value is no resource, whatever it looks like. */
const words = new Set([
  'append',
  'name',
  'uuid',
  'm',
  'smp',
  'boot',
  'rtc',
  'd',
  'k',
  'set',
  'global',
  'prom-env',
  'vga',
  'cpu',
  'loadvm',
  'numa',
  'overcommit',
  'action',
  'watchdog-action',
  'msg',
  'compat',
  'dfilter',
  'seed',
  'usbdevice',
]);
/** The key that the first word of a list stands under. */
const impliedKeys: Readonly<Record<string, string>> = {
  device: 'driver',
  object: 'qom-type',
  netdev: 'type',
  nic: 'type',
  net: 'type',
  chardev: 'backend',
  drive: 'file',
  blockdev: 'driver',
  fsdev: 'fsdriver',
  virtfs: 'fsdriver',
  tpmdev: 'type',
  audiodev: 'driver',
  audio: 'driver',
  plugin: 'file',
  trace: 'enable',
  acpitable: '',
  smbios: '',
  fw_cfg: 'name',
  spice: '',
  icount: 'shift',
  display: 'type',
};

const fileKeys: Readonly<Record<string, HostResource['access'] | 'directory' | 'device' | 'socket'>> = {
  filename: 'rw',
  file: 'ro',
  path: 'rw',
  'mem-path': 'rw',
  romfile: 'ro',
  dir: 'ro',
  logfile: 'rw',
  rrfile: 'rw',
  events: 'ro',
  data: 'ro',
  splash: 'ro',
  'x509-dir': 'ro',
  'x509-key-file': 'ro',
  'x509-cert-file': 'ro',
  'x509-cacert-file': 'ro',
  'x509-dh-key-file': 'ro',
  evdev: 'device',
  vhostdev: 'device',
  hostdevice: 'device',
  rendernode: 'device',
  sysfsdev: 'ro',
  'cancel-path': 'rw',
  'sev-device': 'device',
  sock: 'socket',
  socket: 'socket',
  unix: 'rw',
};

export function hostResources({ name, value }: QemuOption): readonly HostResource[] {
  if (name === 's') return [{ kind: 'network listens', name: 'port 1234', access: 'rw', certain: true }];
  if (value === null || value === '' || words.has(name)) return [];
  const whole = paths[name];
  if (whole !== undefined) return atPath(value, whole === 'directory' ? 'ro' : whole, true);
  if (images.has(name)) return image(value, name === 'cdrom' ? 'ro' : 'rw');
  if (name === 'initrd')
    return value.split(',').flatMap((one) => atPath(one.split(' ')[0] ?? '', 'ro', true));
  if (characterDevices.has(name)) return characterDevice(value);
  const leaves = leavesOf(value, impliedKeys[name] ?? '');
  return [...ofFamily(name, leaves), ...leaves.flatMap((leaf) => ofLeaf(name, leaf, leaves))];
}

const lastPart = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

function isReadOnly(name: string, leaves: readonly Leaf[]): boolean {
  if (isOn(leaves, 'readonly', 'read-only') || valueOf(leaves, 'media') === 'cdrom') return true;
  return name === 'object' && (valueOf(leaves, 'qom-type') ?? '').startsWith('secret');
}

/** One value of a list of keys: by its key where that is known, else by what it looks like. */
function ofLeaf(name: string, { key, text }: Leaf, leaves: readonly Leaf[]): readonly HostResource[] {
  if (text === '' || ownKeys.has(`${name} ${key}`)) return [];
  const last = lastPart(key);
  const readOnly = isReadOnly(name, leaves);
  const known = fileKeys[last];
  if (last === 'script' || last === 'downscript' || last === 'helper')
    return text === 'no' ? [] : [{ kind: 'program', name: text, access: 'ro', certain: true }];
  if (name === 'chardev' || name === 'netdev' || name === 'nic') {
    if (last === 'path') return [];
  } else if (last === 'path' && valueOf(leaves, key.replace(/path$/, 'type')) === 'unix')
    return socket(text, false);
  if (/(?:^|-)fds?$/.test(last) || (last === 'str' && key.startsWith('addr')))
    return [{ kind: 'descriptor', name: `${last}=${text}`, access: 'rw', certain: true }];
  if (known === 'device') return [{ kind: 'device', name: text, access: 'rw', certain: true }];
  if (known === 'socket') return socket(text, false);
  if (known !== undefined) {
    const access = known === 'directory' || readOnly ? 'ro' : accessOf(name, last, leaves, known);
    return ['file', 'filename'].includes(last)
      ? image(text, access)
      : atPath(text, access, text.startsWith('/'));
  }
  return text.startsWith('/') ? atPath(text, readOnly ? 'ro' : 'rw', false) : [];
}

/** Keys that are free text although they look like others. */
const ownKeys = new Set(['fw_cfg name', 'fw_cfg string', 'device serial', 'object id', 'chardev name']);

function accessOf(
  name: string,
  key: string,
  leaves: readonly Leaf[],
  known: HostResource['access'],
): HostResource['access'] {
  if (name === 'drive' && key === 'file') return 'rw';
  const type = valueOf(leaves, 'qom-type') ?? '';
  if (type === 'rng-random') return 'ro';
  if (type === 'filter-dump') return 'rw';
  if (name === 'audiodev' || name === 'trace') return 'rw';
  if (name === 'smbios') return 'ro';
  return known;
}

/** What the option as a whole names: ends of sockets and ports, and devices that stand behind its kind. */
function ofFamily(name: string, leaves: readonly Leaf[]): readonly HostResource[] {
  const kind = valueOf(leaves, impliedKeys[name] ?? '') ?? '';
  if (name === 'chardev') return chardev(kind, leaves);
  if (name === 'netdev' || name === 'nic' || name === 'net') return netdev(kind, leaves);
  if (name === 'spice') return spice(leaves);
  if (name === 'audiodev' && kind === 'pa') return socket(soundServer(leaves), false);
  if (name === 'device' || name === 'object') {
    const node = nodesOfKinds[kind];
    return node === undefined ? [] : [{ kind: 'device', name: node, access: 'rw', certain: true }];
  }
  return server(leaves);
}

/** Device nodes that a kind opens without being told. */
const nodesOfKinds: Readonly<Record<string, string>> = {
  'vhost-vsock-pci': '/dev/vhost-vsock',
  'vhost-vsock-device': '/dev/vhost-vsock',
  'vhost-scsi-pci': '/dev/vhost-scsi',
  'sev-guest': '/dev/sev',
  'memory-backend-epc': '/dev/sgx_vepc',
};

function chardev(backend: string, leaves: readonly Leaf[]): readonly HostResource[] {
  const path = valueOf(leaves, 'path', 'addr.path', 'backend.data.addr.data.path');
  switch (backend) {
    case 'socket': {
      const listens = isOn(leaves, 'server');
      if (path !== undefined) return socket(path, listens);
      const fd = valueOf(leaves, 'fd');
      return fd === undefined ? port(leaves, listens) : [];
    }
    case 'udp':
      return port(leaves, false);
    case 'serial':
    case 'tty':
    case 'parallel':
    case 'parport':
      return path === undefined ? [] : [{ kind: 'device', name: path, access: 'rw', certain: true }];
    default:
      return path === undefined ? [] : atPath(path, 'rw', true);
  }
}

function netdev(type: string, leaves: readonly Leaf[]): readonly HostResource[] {
  const listens = isOn(leaves, 'server') || valueOf(leaves, 'listen') !== undefined;
  const path = valueOf(leaves, 'addr.path', 'local.path');
  const remote = valueOf(leaves, 'remote.path');
  const found: HostResource[] = [];
  if (path !== undefined) found.push(...socket(path, listens || type === 'dgram'));
  if (remote !== undefined) found.push(...socket(remote, false));
  if (type === 'vde' && valueOf(leaves, 'sock') === undefined)
    found.push(...socket('/var/run/vde.ctl', false));
  for (const key of ['listen', 'connect', 'mcast', 'udp', 'dst', 'addr.host', 'remote.host', 'local.host'])
    for (const { text } of leaves.filter((leaf) => leaf.key === key))
      found.push({
        kind: key === 'listen' || (listens && key === 'addr.host') ? 'network listens' : 'network',
        name: text,
        access: 'rw',
        certain: true,
      });
  return found;
}

function spice(leaves: readonly Leaf[]): readonly HostResource[] {
  const ports = ['port', 'tls-port'].flatMap((key) => valueOf(leaves, key) ?? []);
  return ports.map((text) => ({
    kind: 'network listens',
    name: `port ${text}`,
    access: 'rw',
    certain: true,
  }));
}

/** Block drivers and others that reach a server. */
function server(leaves: readonly Leaf[]): readonly HostResource[] {
  return leaves.flatMap(({ key, text }) => {
    const last = lastPart(key);
    const at = key.slice(0, key.length - last.length);
    if (last === 'host' && /server|addr/.test(at))
      return [
        {
          kind: 'network',
          name: `${text}:${valueOf(leaves, `${at}port`) ?? '?'}`,
          access: 'rw',
          certain: true,
        } as const,
      ];
    if (last === 'url') return image(text, 'ro');
    return [];
  });
}

function port(leaves: readonly Leaf[], listens: boolean): readonly HostResource[] {
  const number = valueOf(leaves, 'port', 'addr.port');
  if (number === undefined) return [];
  const host = valueOf(leaves, 'host', 'addr.host') ?? '';
  return [
    { kind: listens ? 'network listens' : 'network', name: `${host}:${number}`, access: 'rw', certain: true },
  ];
}

function socket(path: string, listens: boolean): readonly HostResource[] {
  return [
    { kind: listens ? 'socket listens' : 'socket', name: path, access: 'rw', certain: path.startsWith('/') },
  ];
}

/** Of PulseAudio; without a name the library looks for one. */
const soundServer = (leaves: readonly Leaf[]): string =>
  (valueOf(leaves, 'server') ?? 'the server of sound').replace(/^unix:/, '');

/** `file:…`, `pipe:…`, `unix:…`, `tcp:…`, `/dev/…` as -serial and its like take them (QEMU, chardev/char.c). */
function characterDevice(value: string): readonly HostResource[] {
  const [, scheme = '', rest = ''] = /^(?:mon:)?(?:([a-z]+):)?(.*)$/s.exec(value) ?? [];
  const [target = '', ...options] = rest.split(',');
  const listens = options.some((option) => /^server(?:=on)?$/.test(option));
  switch (scheme) {
    case 'file':
      return atPath(target, 'rw', true);
    case 'pipe':
      return [`${target}.in`, `${target}.out`].flatMap((path) => atPath(path, 'rw', true));
    case 'unix':
      return socket(target, listens);
    case 'tcp':
    case 'telnet':
    case 'websocket':
      return [{ kind: listens ? 'network listens' : 'network', name: target, access: 'rw', certain: true }];
    case 'udp':
      return [{ kind: 'network', name: target, access: 'rw', certain: true }];
    case '':
      if (target.startsWith('/dev/')) return [{ kind: 'device', name: target, access: 'rw', certain: true }];
      return target.startsWith('/') ? atPath(target, 'rw', true) : [];
    default:
      return [];
  }
}

/** The name of an image: a path, or a protocol before it (QEMU, block.c, path_has_protocol). */
function image(value: string, access: HostResource['access']): readonly HostResource[] {
  const [, scheme = '', rest = ''] = /^([a-z+]+):(.*)$/s.exec(value) ?? [];
  if (value.startsWith('/') || scheme === '') return atPath(value, access, true);
  if (scheme === 'file' || scheme === 'host_device') return atPath(rest, access, true);
  if (scheme === 'fat') {
    const [, path = rest] = /^(?:(?:rw|ro|floppy|12|16|32):)*(.*)$/s.exec(rest) ?? [];
    return [{ kind: 'directory', name: path, access: rest.includes('rw:') ? 'rw' : 'ro', certain: true }];
  }
  if (scheme === 'exec') return [{ kind: 'program', name: rest, access: 'ro', certain: true }];
  if (scheme === 'fd') return [{ kind: 'descriptor', name: value, access, certain: true }];
  const unix = /(?<!\+)unix:(\/[^:?]+)|[?&]socket=(\/[^&]+)/.exec(value);
  if (unix !== null) return socket(unix[1] ?? unix[2] ?? '', false);
  if (scheme === 'json') return [];
  return [{ kind: 'network', name: rest.replace(/^\/\//, ''), access, certain: true }];
}

/** Nodes that every jail has. */
const standardNodes = /^\/dev\/(?:null|zero|full|random|urandom|tty)$/;

function atPath(path: string, access: HostResource['access'], certain: boolean): readonly HostResource[] {
  if (standardNodes.test(path)) return [];
  if (/^\/(?:dev\/fdset|proc\/self\/fd|dev\/fd)\//.test(path))
    return [{ kind: 'descriptor', name: path, access, certain }];
  if (/^\/dev\/(?!shm\/|hugepages)/.test(path)) return [{ kind: 'device', name: path, access, certain }];
  // A name without a directory is looked for in the directory of data, or in the empty one that QEMU starts in.
  if (!path.startsWith('/')) return [];
  return [
    {
      kind: path.endsWith('/') ? 'directory' : 'file',
      name: path.replace(/\/+$/, '') || '/',
      access,
      certain,
    },
  ];
}
