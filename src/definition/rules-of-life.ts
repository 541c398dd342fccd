/** What a machine does at the start of the host, and when it ends by itself. */
import type { Draft } from './draft.ts';
import { broken, type Broken } from './rule.ts';

/** Each way to be ready with the keys that it needs and that no other has. */
const keysOfReady = { qmp: [], 'guest-agent': [], port: ['address', 'port'], delay: [] } as const;

export function readinessIsWhole({ autostart, agent }: Draft): readonly Broken[] {
  if (autostart === undefined) return [];
  const { ready } = autostart;
  const missing = keysOfReady[ready].filter((key) => autostart[key] === undefined);
  const idle = ready === 'port' ? [] : keysOfReady.port.filter((key) => autostart[key] !== undefined);
  return [
    ...missing.map((key) =>
      broken(
        ['autostart', 'ready'],
        `port needs autostart.${key}, which is not set`,
        `Set autostart.${key}.`,
      ),
    ),
    ...idle.map((key) =>
      broken(
        ['autostart', key],
        `counts only with ready: port, and ready is ${ready}`,
        `Set ready: port, or remove ${key}.`,
      ),
    ),
    ...(ready === 'guest-agent' && agent === false
      ? [
          broken(
            ['autostart', 'ready'],
            'guest-agent needs a channel to the agent, and agent is off',
            'Set agent: true, and install qemu-guest-agent in the guest.',
          ),
        ]
      : []),
  ];
}

export function nothingComesAfterItself({ autostart, name }: Draft): readonly Broken[] {
  return (autostart?.after ?? []).flatMap((other, index) =>
    other === name
      ? [broken(['autostart', 'after', index], 'a machine cannot come after itself', 'Remove it.')]
      : [],
  );
}

export function restartWaitsFit({ restart }: Draft): readonly Broken[] {
  if (restart === undefined || restart.delay <= restart.maxDelay) return [];
  return [
    broken(
      ['restart', 'maxDelay'],
      'is shorter than restart.delay',
      'The first wait is `delay`, and the longest `maxDelay`.',
    ),
  ];
}

/** Each start is work for root and for the disk: a machine that ends as soon as it runs must not be all that the host does. */
const leastMsARestart = 5_000;

export function restartsAreBounded({ restart }: Draft): readonly Broken[] {
  if (restart === undefined) return [];
  const leastMs = restart.attempts * leastMsARestart;
  if (restart.within >= leastMs) return [];
  return [
    broken(
      ['restart', 'within'],
      `is shorter than ${leastMsARestart / 1000} s for each of ${restart.attempts} attempts, so that restarts would never be given up`,
      `Set restart.within to ${leastMs / 1000}s or more, or fewer attempts.`,
    ),
  ];
}

export function panicsAreSeen({ machine, onCrash }: Draft): readonly Broken[] {
  if (machine !== 'microvm' || onCrash !== 'pause') return [];
  return [
    broken(
      ['onCrash'],
      'microvm has no device by which a guest reports a panic, so there is nothing to pause',
      'Use stop or restart, or machine: q35.',
    ),
  ];
}
