/**
 * The registry of errors: code → HTTP status, exit status of the CLI. Messages name the thing, what was expected and
 * the cure, and are made where the fault is found; a test holds docs/errors.md against this table.
 */
export interface ErrorKind {
  /** HTTP status of the API. */
  readonly status: number;
  /** Exit status of the CLI: 1 failed, 2 usage, 3 not found, 4 refused by policy or right, 5 manager unreachable. */
  readonly exit: 1 | 2 | 3 | 4 | 5;
  readonly meaning: string;
}

export const errorKinds = {
  'definition-invalid': {
    status: 422,
    exit: 2,
    meaning: 'The definition has faults; each is listed with line and column.',
  },
  'definition-changed': {
    status: 409,
    exit: 1,
    meaning: 'The definition was changed by another since it was read; its `revision` differs.',
  },
  'request-invalid': {
    status: 400,
    exit: 2,
    meaning: 'The request does not have the form that the API expects.',
  },
  'machine-unknown': {
    status: 404,
    exit: 3,
    meaning: 'No machine of this name is defined, or you may not see it.',
  },
  'machine-exists': { status: 409, exit: 1, meaning: 'A machine of this name is defined already.' },
  'machine-running': { status: 409, exit: 1, meaning: 'The machine must be stopped for this.' },
  'machine-not-running': { status: 409, exit: 1, meaning: 'The machine must be running for this.' },
  'machine-busy': { status: 409, exit: 1, meaning: 'Another operation on this machine is under way.' },
  'machine-saved': {
    status: 409,
    exit: 1,
    meaning: 'The machine has a saved state, which this would make useless.',
  },
  'machine-not-saved': { status: 409, exit: 1, meaning: 'The machine has no saved state.' },
  'save-failed': {
    status: 409,
    exit: 1,
    meaning: 'The machine was not saved, and goes on as before; the reason is given.',
  },
  'state-unusable': {
    status: 409,
    exit: 1,
    meaning: 'The saved state is damaged, or fits machine, host or disks no more; it is kept.',
  },
  'machine-moved': {
    status: 409,
    exit: 1,
    meaning: 'The guest of the machine is on another host, or may be; it does not start here.',
  },
  'migration-failed': {
    status: 409,
    exit: 1,
    meaning: 'The machine was not moved, and goes on where it was; the reason is given.',
  },
  'migration-undecided': {
    status: 409,
    exit: 1,
    meaning:
      'The machine stands still here, and it was not heard whether it runs on the other host: that is to be asked or said.',
  },
  'host-going-down': { status: 409, exit: 1, meaning: 'The host goes down: nothing starts any more.' },
  'not-allowed': { status: 403, exit: 4, meaning: 'Your role does not include this right.' },
  'policy-refused': { status: 403, exit: 4, meaning: "The administrator's policy does not allow it." },
  'file-missing': { status: 409, exit: 1, meaning: 'A file that the definition names is not there.' },
  'file-unreadable': { status: 409, exit: 1, meaning: 'A file that the definition names cannot be opened.' },
  'file-kind': { status: 409, exit: 1, meaning: 'A path names something other than a regular file.' },
  'image-format': { status: 409, exit: 1, meaning: 'An image has another format than the definition says.' },
  'image-references': {
    status: 409,
    exit: 1,
    meaning: 'An image refers to a file that the definition does not list.',
  },
  'image-locked': { status: 409, exit: 1, meaning: 'An image is in use by another machine or process.' },
  'file-exists': {
    status: 409,
    exit: 1,
    meaning: 'A file of that name is there already; nothing is replaced.',
  },
  'media-locked': {
    status: 409,
    exit: 1,
    meaning: 'The guest uses the disc in the drive, and did not let it out.',
  },
  'device-kept': {
    status: 409,
    exit: 1,
    meaning: 'The guest did not let go of a device in time; it stays attached.',
  },
  'agent-failed': {
    status: 409,
    exit: 1,
    meaning: 'The agent in the guest does not answer, or did not do it; its own words are given.',
  },
  'block-failed': {
    status: 409,
    exit: 1,
    meaning:
      'The disks of a running machine were not copied, backed up or changed, and are as before; the reason is given.',
  },
  'disk-failed': { status: 409, exit: 1, meaning: 'qemu-img did not do it; its own words are given.' },
  'hook-failed': {
    status: 409,
    exit: 1,
    meaning: "A hook of the policy's did not do it; its output is in the machine's log.",
  },
  'qemu-missing': { status: 409, exit: 1, meaning: 'There is no QEMU binary that the policy allows.' },
  'qemu-too-old': { status: 409, exit: 1, meaning: 'QEMU is older than what qward needs.' },
  'qemu-unsafe': {
    status: 409,
    exit: 1,
    meaning: 'A file that QEMU needs lies outside /usr or can be changed by others than root.',
  },
  'kvm-unavailable': {
    status: 409,
    exit: 1,
    meaning: 'The definition asks for KVM and this host was not proved to have it.',
  },
  'firmware-missing': { status: 409, exit: 1, meaning: 'UEFI firmware is not installed.' },
  'bridge-missing': { status: 409, exit: 1, meaning: 'The bridge is not on this host.' },
  'helper-missing': {
    status: 409,
    exit: 1,
    meaning: 'There is no passt, dnsmasq or swtpm that the policy allows.',
  },
  'port-unavailable': {
    status: 409,
    exit: 1,
    meaning: "A port of the host that is to lead to the guest is taken, or root's alone.",
  },
  'network-failed': {
    status: 409,
    exit: 1,
    meaning:
      'A network could not be brought up, or passt or dnsmasq did not serve it; their words are given.',
  },
  'helper-failed': {
    status: 409,
    exit: 1,
    meaning: 'A server beside the machine, such as that of its TPM, did not come up; its words are given.',
  },
  'network-missing': { status: 404, exit: 3, meaning: 'There is no managed network of this name.' },
  'network-exists': { status: 409, exit: 1, meaning: 'There is a managed network of this name already.' },
  'network-in-use': { status: 409, exit: 1, meaning: 'Machines use the managed network.' },
  'network-conflict': {
    status: 409,
    exit: 1,
    meaning: 'An address, a route or a device of the host is in the way of a managed network.',
  },
  'resources-short': { status: 409, exit: 1, meaning: 'The host has not enough memory, processes or space.' },
  'qemu-refused': {
    status: 409,
    exit: 1,
    meaning: 'QEMU ended before its monitor greeted; its own words are given.',
  },
  'passthrough-refused': {
    status: 422,
    exit: 2,
    meaning:
      'An argument or command of the definition would lower a wall, or take the machine out of qward’s hands.',
  },
  'passthrough-unreachable': {
    status: 409,
    exit: 1,
    meaning:
      'An argument names something of the host that the machine is not granted; the line that grants it is given.',
  },
  'relaxation-expired': {
    status: 409,
    exit: 1,
    meaning: 'A relaxation of the definition has passed its last day; the line that renews it is given.',
  },
  'runtime-failed': { status: 500, exit: 1, meaning: 'The OCI runtime could not make the jail.' },
  'monitor-failed': { status: 502, exit: 1, meaning: "QEMU's monitor did not answer as QMP asks." },
  'audit-failed': {
    status: 409,
    exit: 1,
    meaning: 'A wall differs on the live process; the machine was stopped.',
  },
  'drill-failed': { status: 502, exit: 1, meaning: 'The drill could not try anything in the jail.' },
  'console-busy': {
    status: 409,
    exit: 1,
    meaning: 'Another client writes to the console; watch it instead.',
  },
  'state-unwritable': { status: 507, exit: 1, meaning: 'State could not be written; nothing was changed.' },
  'version-differs': {
    status: 503,
    exit: 1,
    meaning: 'Manager and broker are of different versions of qward, in the middle of an upgrade.',
  },
  'broker-unreachable': { status: 503, exit: 1, meaning: 'The broker does not answer.' },
  'broker-refused': { status: 403, exit: 4, meaning: 'The broker refused the request.' },
  'wall-missing': { status: 409, exit: 1, meaning: 'This host cannot give a mandatory wall.' },
  'timed-out': { status: 504, exit: 1, meaning: 'The time limit passed before it was done.' },
  'manager-unreachable': { status: 503, exit: 5, meaning: 'The manager does not answer on its socket.' },
  internal: { status: 500, exit: 1, meaning: 'A fault of qward itself; please report it.' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** The body of every reply that is not 2xx. */
export interface ApiFault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly path?: readonly (string | number)[];
  readonly line?: number;
  readonly column?: number;
  /** The key of the policy that refuses it, `storageRoots[1]`, or a rule that always holds, `owner-rights`. */
  readonly rule?: string;
  /** Where the rule stands: `/etc/qward/policy.json line 12 (storageRoots[1])`, or `default (storageRoots)`. */
  readonly ruleAt?: string;
}
export interface ApiErrorBody {
  readonly faults: readonly ApiFault[];
}
