/** The guest of a QEMU that no manager steers: set going by its monitor, seen and told by its console. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { startBareQemu } from './bare-qemu.ts';

export interface BareGuest {
  readonly write: (text: string) => void;
  /** Until the console has shown it. */
  readonly until: (wanted: RegExp) => Promise<void>;
}

export function beginGuest({ sockets }: Pick<ReturnType<typeof startBareQemu>, 'sockets'>): BareGuest {
  const qmp = connect(sockets.qmp ?? '');
  qmp.write('{"execute":"qmp_capabilities"}{"execute":"cont"}');
  const guest = connect(sockets.console ?? '');
  for (const socket of [qmp, guest]) socket.on('error', () => undefined);
  let said = '';
  guest.on('data', (piece: Buffer) => (said += piece.toString('latin1')));
  return {
    write: (text) => void guest.write(text),
    until: async (wanted) => {
      for (const giveUpAt = performance.now() + 90_000; !wanted.test(said); await delay(50))
        if (performance.now() > giveUpAt) throw new Error(`${String(wanted)} was not seen: ${said}`);
    },
  };
}
