/** /etc/libvirt/qemu.conf: what it changes for every machine of the host, as it would be said here for one. */

export type QemuConf = ReadonlyMap<string, readonly string[]>;

/** `key = value`: a text, a number, or a list of texts over several lines. */
export function readQemuConf(text: string): QemuConf {
  const settings = new Map<string, readonly string[]>();
  const plain = text
    .split('\n')
    .map((line) => /^(?:"[^"]*"|'[^']*'|[^#"'])*/.exec(line)?.[0] ?? '')
    .join('\n');
  for (const [, key = '', list, value = ''] of plain.matchAll(
    /^\s*([a-z][a-z0-9_]*)\s*=\s*(?:\[([^\]]*)\]|([^\n#]*))/gm,
  )) {
    const words = (list ?? value).match(/"[^"]*"|'[^']*'|[^\s,]+/g) ?? [];
    settings.set(
      key,
      words.map((word) => word.replaceAll(/^["']|["']$/g, '')),
    );
  }
  return settings;
}

/** One setting for all machines, and the lines that would say it for one. */
export interface HostRelaxation {
  readonly setting: string;
  readonly meaning: string;
  /** Lines of a definition; empty where there is nothing to relax. */
  readonly definition: string;
  /** Line of the policy. */
  readonly policy: string;
}

const denied = '0';
/** libvirt 9.0's own list. */
const usualDevices = new Set(
  'null full zero random urandom ptmx kvm userfaultfd'.split(' ').map((name) => `/dev/${name}`),
);

function userRelaxation(conf: QemuConf): readonly HostRelaxation[] {
  const user = conf.get('user')?.[0]?.replace(/^\+/, '');
  if (user === undefined || user === 'libvirt-qemu' || user === 'qemu') return [];
  const root = user === 'root' || user === '0';
  return [
    {
      setting: `user = "${user}"`,
      meaning: 'all machines run as this account; here each has a uid of its own',
      definition: `confinement: {user: ${root ? 'root' : user}}`,
      policy: `${root ? '"allowRoot": true, ' : ''}"relaxations": [{ "relax": "user", "to": "${root ? 'root' : user}" }]`,
    },
  ];
}

function labels(conf: QemuConf): readonly HostRelaxation[] {
  const drivers = conf.get('security_driver');
  const none = drivers?.length === 0 || drivers?.[0] === 'none';
  const unconfined = conf.get('security_default_confined')?.[0] === denied;
  if (!none && !unconfined) return [];
  return [
    {
      setting: none ? 'security_driver = "none"' : 'security_default_confined = 0',
      meaning: 'no machine is confined by SELinux or AppArmor; here each is, where the host has one of them',
      definition: 'confinement: {selinux: none} or {apparmor: unconfined}',
      policy:
        '"relaxations": [{ "relax": "selinux", "to": "none" }, { "relax": "apparmor", "to": "unconfined" }]',
    },
  ];
}

function others(conf: QemuConf): readonly HostRelaxation[] {
  const found: HostRelaxation[] = [];
  if (conf.get('seccomp_sandbox')?.[0] === denied)
    found.push({
      setting: 'seccomp_sandbox = 0',
      meaning: 'no machine has a filter of system calls; here each has two',
      definition: 'confinement: {seccomp: off}',
      policy: '"relaxations": [{ "relax": "seccomp", "to": "off" }]',
    });
  if (conf.get('namespaces')?.length === 0)
    found.push({
      setting: 'namespaces = []',
      meaning: 'machines see all of /dev; here a machine sees the devices that it names',
      definition: 'confinement: {devices: [/dev/…]}',
      policy: '"devices": ["/dev/kvm", "/dev/vhost-net", "/dev/…"]',
    });
  const controllers = conf.get('cgroup_controllers');
  if (controllers !== undefined && !controllers.includes('devices'))
    found.push({
      setting: 'cgroup_controllers without "devices"',
      meaning: 'machines may open any device that they see; here those of their cgroup alone',
      definition: 'confinement: {deviceCgroup: off}',
      policy: '"relaxations": [{ "relax": "device-cgroup", "to": "off" }]',
    });
  const devices = (conf.get('cgroup_device_acl') ?? []).filter((path) => !usualDevices.has(path));
  if (devices.length > 0)
    found.push({
      setting: `cgroup_device_acl with ${devices.join(', ')}`,
      meaning: 'all machines may open these; here those that name them',
      definition: `confinement: {devices: [${devices.join(', ')}]}`,
      policy: `"devices": ["/dev/kvm", "/dev/vhost-net", ${devices.map((path) => `"${path}"`).join(', ')}]`,
    });
  return found;
}

/** What differs from libvirt's own confinement; nothing of it is done by an import. */
export function relaxationsOfHost(conf: QemuConf): readonly HostRelaxation[] {
  return [...userRelaxation(conf), ...labels(conf), ...others(conf)];
}
