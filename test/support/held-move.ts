/** A move whose frames the test carries itself: it holds one of them, does something, and lets it go on or drops it. */
import { randomBytes } from 'node:crypto';
import type { MoveEnd } from '../../src/api/migration-contract.ts';
import type { MoveStream } from '../../src/api/move-stream.ts';
import type { Instance } from './instance.ts';
import { granted } from './small-machine.ts';

/** Kinds of messages, or the first bytes of the memory. */
export type HeldFrame = 'offer' | 'ready' | 'bytes' | 'eof' | 'loaded' | 'go' | 'running';

export interface HeldMove {
  readonly machine: string;
  readonly from: Instance;
  readonly to: Instance;
  readonly at: HeldFrame;
  /** While the frame is held; `cut` drops it, and both connections with it. */
  readonly act: (cut: () => void) => Promise<void>;
  /** What the other host is called to the one that gives it away; default: as the command calls it. */
  readonly peer?: string;
}

/** What the manager that gives it away said last; undefined: nothing. */
export async function moveHeld({
  machine,
  from,
  to,
  at,
  act,
  peer = to.paths.apiSocket,
}: HeldMove): Promise<MoveEnd | undefined> {
  const token = randomBytes(16).toString('hex');
  const arriving = granted(await to.client.arrive({ name: machine, token, peer: from.paths.apiSocket }));
  const leaving = granted(await from.client.migrate({ name: machine, token, peer }));
  let acted = false;
  let dropped = false;
  const cut = (): void => {
    dropped = true;
    leaving.close();
    arriving.close();
  };
  let end: MoveEnd | undefined;
  const held = async (kind: string): Promise<boolean> => {
    if (acted || kind !== at) return !dropped;
    acted = true;
    await act(cut);
    return !dropped;
  };
  let answered = false;
  const carry = async (source: MoveStream, target: MoveStream): Promise<void> => {
    for await (const message of source) {
      if (message.kind === 'bytes') {
        if (await held('bytes')) await target.send(message.bytes);
        continue;
      }
      const { kind } = JSON.parse(message.text) as { readonly kind: string };
      if (kind === 'done' || kind === 'ended') end = JSON.parse(message.text) as MoveEnd;
      else if (await held(kind)) {
        answered ||= source === arriving && ['running', 'failed'].includes(kind);
        target.sendText(message.text);
      }
    }
    // The side that gives it away has a last word to that of the other.
    if (source === arriving && answered) target.closeSoon();
    else target.close();
  };
  await Promise.all([carry(leaving, arriving), carry(arriving, leaving)]);
  return end;
}
