/** Calls on what a guest shows and takes, and on what its agent does. */
import type { CallResult } from '../../api/calls.ts';
import { agentCommands } from '../../qmp/agent-commands.ts';
import { agentOf, agentFailure, askAgent } from '../guest/agent-of.ts';
import { runProgram } from '../guest/run-program.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { success, type Outcome } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';
import { sendKeys } from '../vnc/send-keys.ts';
import { takeScreenshot } from '../vnc/screenshot.ts';

type GuestCalls = 'screens' | 'screenshot' | 'sendKeys' | 'guest' | 'exec' | 'freeze' | 'thaw' | 'timeSync';

export function createGuestHandlers(
  machines: Pick<Machines, 'visibleTo'>,
  now: () => Date,
): Pick<Handlers, GuestCalls> {
  return {
    screens: ({ identity }) =>
      success({
        screens: machines
          .visibleTo(identity)
          .flatMap(({ name, run }) =>
            run?.hasScreen === true ? [{ name, viewers: run.viewers.list() }] : [],
          ),
      }),
    screenshot: async ({ machine }) => {
      const shot = await takeScreenshot(machine);
      if (!shot.ok) return shot;
      const { png, width, height } = shot.value;
      return success({ name: machine.name, png: png.toString('base64'), width, height });
    },
    sendKeys: async ({ machine, body, closed }) => {
      const sent = await sendKeys(machine, { ...body, signal: closed() });
      return sent.ok ? success({ name: machine.name, sent: body.keys.length }) : sent;
    },
    guest: ({ machine }) => describeGuest(machine),
    exec: async ({ machine, body, closed }) => {
      const { argv, env, input, timeoutMs } = body;
      const [program = '', ...args] = argv;
      const request = { argv: [program, ...args] as const, env, input };
      const ended = await runProgram(machine, request, { timeoutMs, signal: closed() });
      if (!ended.ok) return ended;
      const { exited: _exited, ...end } = ended.value;
      return success({ name: machine.name, ...end });
    },
    freeze: ({ machine }) =>
      askAgent(
        machine,
        (agent) => agentCommands.freeze(agent, undefined),
        (fileSystems) => ({ name: machine.name, fileSystems }),
      ),
    thaw: ({ machine }) =>
      askAgent(
        machine,
        (agent) => agentCommands.thaw(agent, undefined),
        (fileSystems) => ({ name: machine.name, fileSystems }),
      ),
    timeSync: ({ machine }) => {
      const time = now();
      return askAgent(
        machine,
        (agent) => agentCommands.setTime(agent, { ms: time.getTime() }),
        () => ({ name: machine.name, time: time.toISOString() }),
      );
    },
  };
}

/** A frozen agent answers little else than that it is. */
async function describeGuest(machine: Machine): Promise<Outcome<CallResult<'guest'>>> {
  const found = agentOf(machine);
  if (!found.ok) return found;
  const agent = found.value;
  const version = await agentCommands.version(agent, undefined);
  if (!version.ok) return agentFailure(machine, version);
  const hostName = await agentCommands.hostName(agent, undefined);
  const system = await agentCommands.system(agent, undefined);
  const frozen = await agentCommands.frozen(agent, undefined);
  return success({
    name: machine.name,
    agent: version.value,
    hostName: hostName.ok ? hostName.value : null,
    system: system.ok ? system.value.name : null,
    kernel: system.ok ? system.value.kernel : null,
    frozen: frozen.ok ? frozen.value === 'frozen' : null,
  });
}
