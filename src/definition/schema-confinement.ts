/** The part of a definition that asks for more: command-line passthrough, files and devices of the host, relaxed walls. */
import * as z from 'zod';
import { date, hostPath, line, socketPath } from './scalars.ts';

/** Of every relaxation: why it is there, and how long. */
export const why = {
  reason: line(256)
    .optional()
    .describe('Why it is needed, for whoever reads the definition, `list` and the history.'),
  until: date
    .optional()
    .describe(
      'The last day on which a start may use it; after it the start is refused, with the line to renew.',
    ),
};

const anyValue: z.ZodType<JsonArgument> = z.lazy(() =>
  z.union([
    z.null(),
    z.boolean(),
    z.number(),
    z.string().max(4096),
    z.array(anyValue),
    z.record(z.string(), anyValue),
  ]),
);

/** What an argument of a QMP command holds. */
export type JsonArgument =
  | null
  | boolean
  | number
  | string
  | readonly JsonArgument[]
  | { readonly [key: string]: JsonArgument };

const argument = z
  .string({ error: 'one word of the command line, without control characters' })
  .max(8192)
  .regex(/^[^\u0000-\u001f\u007f]*$/, { error: 'one word of the command line, without control characters' });

const variableName = 'the name of an environment variable, of letters, digits and "_"';

export const qemuSchema = z.strictObject({
  args: z
    .array(argument)
    .max(512)
    .default([])
    .describe('Words for QEMU, behind those that qward writes; option and value are two entries.')
    .meta({ examples: [['-device', 'ivshmem-doorbell,chardev=c']] }),
  env: z
    .array(
      z.strictObject({
        name: z
          .string({ error: variableName })
          .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: variableName })
          .describe('Name of the variable.'),
        value: argument.max(4096).default('').describe('Its value.'),
      }),
    )
    .max(64)
    .default([])
    .describe("Variables of QEMU's environment, which is empty else."),
  qmp: z
    .array(
      z.strictObject({
        execute: z
          .string()
          .regex(/^[a-z][a-zA-Z0-9_-]{0,63}$/, { error: 'the name of a QMP command' })
          .describe('The command.')
          .meta({ examples: ['qom-set'] }),
        arguments: z.record(z.string().max(64), anyValue).optional().describe('Its arguments.'),
        when: z
          .enum(['paused', 'running'])
          .default('paused')
          .describe("`paused` is before the guest's first instruction, `running` right after it was let go."),
      }),
    )
    .max(64)
    .default([])
    .describe('QMP commands after each start, in their order. Where one fails, the start fails.'),
});

const accountName = 'the name of an account';
const userName = z
  .string({ error: accountName })
  .regex(/^[a-zA-Z_][a-zA-Z0-9_.-]{0,31}$/, { error: accountName });
const capabilityName = 'the name of a capability in lower case, such as sys_rawio';
const capability = z
  .string({ error: capabilityName })
  .regex(/^(?!cap_)[a-z][a-z_]{2,31}$/, { error: capabilityName });
const labelText = 'a label of the security module';
const label = z.string({ error: labelText }).regex(/^[A-Za-z0-9_./:,@-]{1,255}$/, { error: labelText });
const devicePath = 'the path of a device beneath /dev';
const device = z
  .string({ error: devicePath })
  .regex(/^\/dev(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9_.:+-]+){1,4}$/, { error: devicePath });
const modes = ['strict', 'qemu', 'off'] as const;
const callName = 'the name of a system call';

const files = z.strictObject({
  path: hostPath.describe('The file or directory, in the jail at the same path.'),
  access: z.enum(['ro', 'rw']).default('ro').describe('Whether QEMU may write to it.'),
  ...why,
});

const shared = z.literal('host').optional();

export const confinementSchema = z.strictObject({
  files: z
    .array(files)
    .max(64)
    .default([])
    .describe(
      "Files and directories of the host that QEMU reaches at their own paths, with the owner's rights.",
    ),
  devices: z
    .array(
      z.union([device, z.strictObject({ path: device.describe('As the short form.'), ...why })], {
        error: devicePath,
      }),
    )
    .max(32)
    .default([])
    .describe(
      'Device nodes that are made in the jail and allowed in its cgroup; the policy lists them in `devices`.',
    )
    .meta({ examples: [['/dev/foo']] }),
  sockets: z
    .array(
      z.union([socketPath, z.strictObject({ path: socketPath.describe('As the short form.'), ...why })], {
        error: 'the path of a Unix socket',
      }),
    )
    .max(32)
    .default([])
    .describe('Unix sockets of the host that QEMU may connect to; the policy lists them in `sockets`.')
    .meta({ examples: [['/run/vhost/blk.sock']] }),
  seccomp: z
    .union(
      [
        z.enum(modes),
        z.strictObject({
          mode: z.enum(modes).default('strict').describe('As the short form.'),
          allow: z
            .array(z.string({ error: callName }).regex(/^[a-z_][a-z0-9_]{1,31}$/, { error: callName }))
            .max(64)
            .default([])
            .describe("System calls that are allowed beside those of qward's filter."),
          ...why,
        }),
      ],
      { error: 'strict, qemu, off, or the keys mode, allow, reason and until' },
    )
    .default('strict')
    .describe("`strict` is qward's filter and QEMU's own, `qemu` QEMU's own alone, `off` none."),
  namespaces: z
    .strictObject({
      net: shared.describe("The host's network: its interfaces, addresses and abstract sockets."),
      ipc: shared.describe("The host's shared memory and message queues."),
      uts: shared.describe("The host's name."),
      pid: shared.describe("The host's processes."),
      cgroup: shared.describe("The host's tree of cgroups."),
      ...why,
    })
    .prefault({})
    .describe(
      "Namespaces of the host that QEMU is in, where it has its own else. Files and users are never the host's.",
    ),
  deviceCgroup: z
    .union(
      [
        z.enum(['on', 'off']),
        z.strictObject({ mode: z.enum(['on', 'off']).describe('As the short form.'), ...why }),
      ],
      {
        error: 'on, off, or the keys mode, reason and until',
      },
    )
    .default('on')
    .describe('`off`: no list of devices that may be opened. What is there to be opened, /dev still says.'),
  user: z
    .union([userName, z.strictObject({ name: userName.describe('As the short form.'), ...why })], {
      error: `${accountName}, or the keys name, reason and until`,
    })
    .optional()
    .describe('Account that QEMU runs as, in place of a uid of its own.')
    .meta({ examples: ['oracle'] }),
  selinux: z
    .union([label, z.strictObject({ label: label.describe('As the short form.'), ...why })], {
      error: `${labelText}, or the keys label, reason and until`,
    })
    .optional()
    .describe('SELinux label of the process; `none` leaves that of the service.')
    .meta({ examples: ['system_u:system_r:svirt_t:s0:c1,c2'] }),
  apparmor: z
    .union([label, z.strictObject({ profile: label.describe('As the short form.'), ...why })], {
      error: `${labelText}, or the keys profile, reason and until`,
    })
    .optional()
    .describe("AppArmor profile of the process in place of qward's, or `unconfined`.")
    .meta({ examples: ['unconfined'] }),
  capabilities: z
    .array(
      z.union([capability, z.strictObject({ name: capability.describe('As the short form.'), ...why })], {
        error: capabilityName,
      }),
    )
    .max(8)
    .default([])
    .describe('Capabilities that QEMU keeps, in all five sets; it has none else.')
    .meta({ examples: [['sys_rawio']] }),
});
