/** One viewer joined to the screen of a machine until either goes. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { VncStream } from '../../api/vnc-stream.ts';

/** left: the viewer went. ended: the machine did, or took the view away, as the message says. broken: the manager went away. */
export type ViewEnd =
  | { readonly kind: 'left' | 'broken' }
  | { readonly kind: 'ended'; readonly message: string };

export async function joinViewer(viewer: Socket, screen: VncStream): Promise<ViewEnd> {
  let end: ViewEnd = { kind: 'broken' };
  viewer.on('data', (bytes: Buffer) => {
    // One piece at a time: a machine that does not read holds the viewer up, and nothing piles up here.
    viewer.pause();
    void screen.write(bytes).then(() => viewer.resume());
  });
  viewer.once('close', () => {
    if (end.kind === 'broken') end = { kind: 'left' };
    screen.close();
  });
  if (viewer.destroyed) screen.close();
  try {
    for await (const message of screen) {
      if (message.kind === 'notice') end = { kind: 'ended', message: message.notice.message };
      else if (!viewer.destroyed && !viewer.write(message.bytes)) await drained(viewer);
    }
  } finally {
    viewer.destroy();
    screen.close();
  }
  return end;
}

const drained = (viewer: Socket): Promise<unknown> =>
  Promise.race([once(viewer, 'drain'), new Promise((resolve) => viewer.once('close', resolve))]).catch(
    () => undefined,
  );
