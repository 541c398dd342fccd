/** What a machine has once: monitor, serial console, guest agent, random numbers, balloon. */
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, virtioDevice } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

const listening = { server: 'on', wait: 'off' } as const;

/** QMP, for the manager alone. */
export function monitorOptions(table: DescriptorTable): readonly Option[] {
  const fd = table.addSocket('qmp', { subject: 'monitor', reason: 'the manager steers QEMU by QMP' });
  return [
    keyOption('-chardev', 'socket', { id: 'qmp', fd, ...listening }),
    keyOption('-mon', null, { chardev: 'qmp', mode: 'control' }),
  ];
}

export function consoleOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  if (!definition.console) return [];
  const fd = table.addSocket('console', { subject: 'console', reason: 'serial console' });
  return [
    keyOption('-chardev', 'socket', { id: 'console', fd, ...listening }),
    jsonOption('-device', { driver: 'isa-serial', id: 'serial.0', index: 0, chardev: 'console' }),
  ];
}

/** By this name the guest finds the port of `qward run`. */
export const runnerPort = 'org.qward.runner.0';

/** The virtio-serial controller, and on it the ports that the manager speaks through. */
export function agentOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  const { agent, runner, channels, clipboard } = definition;
  if (!agent && !runner && !clipboard && channels.length === 0) return [];
  const controller = jsonOption('-device', {
    ...virtioDevice(boards[definition.machine], 'serial', { kind: 'single', device: 'serial' }),
    id: 'ctl.serial',
    // Port 0 is kept for a console, so 2 ports leave one.
    max_ports: 2 + channels.length + (runner ? 1 : 0) + (clipboard ? 1 : 0),
  });
  const ports = [
    ...(agent
      ? [
          {
            port: 'agent',
            nr: 1,
            name: 'org.qemu.guest_agent.0',
            reason: 'channel of the guest agent',
          } as const,
        ]
      : []),
    ...(runner
      ? [
          {
            port: 'runner',
            nr: 2 + channels.length,
            name: runnerPort,
            reason: 'channel of `qward run`',
          } as const,
        ]
      : []),
  ];
  const fds = ports.map(({ port, reason }) => table.addSocket(port, { subject: port, reason }));
  return [
    ...ports.map(({ port }, at) => keyOption('-chardev', 'socket', { id: port, fd: fds[at], ...listening })),
    controller,
    ...ports.map(({ port, nr, name }) =>
      jsonOption('-device', {
        driver: 'virtserialport',
        id: `${port}.0`,
        bus: 'ctl.serial.0',
        nr,
        chardev: port,
        name,
      }),
    ),
  ];
}

export function memoryDeviceOptions(definition: MachineDefinition): readonly Option[] {
  const board = boards[definition.machine];
  const { balloonOptions } = definition;
  const options: Option[] = [];
  if (definition.rng)
    options.push(
      // getrandom(2) inside QEMU: no descriptor and no device node.
      jsonOption('-object', { 'qom-type': 'rng-builtin', id: 'rng.source' }),
      jsonOption('-device', {
        ...virtioDevice(board, 'rng', { kind: 'single', device: 'rng' }),
        id: 'rng.0',
        rng: 'rng.source',
        'max-bytes': definition.rngOptions?.bytes,
        period: definition.rngOptions?.period,
      }),
    );
  if (definition.balloon)
    options.push(
      jsonOption('-device', {
        ...virtioDevice(board, 'balloon', { kind: 'single', device: 'balloon' }),
        id: 'balloon.0',
        'deflate-on-oom': balloonOptions.deflateOnOom,
        'free-page-reporting': balloonOptions.freePageReporting,
        // In whole seconds; 0 is never.
        'guest-stats-polling-interval':
          balloonOptions.statsPeriod === undefined
            ? undefined
            : Math.max(1, Math.round(balloonOptions.statsPeriod / 1000)),
      }),
    );
  return options;
}
