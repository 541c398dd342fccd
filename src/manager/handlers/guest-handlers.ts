/** Calls on what a guest shows and takes. */
import { success } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';
import { sendKeys } from '../vnc/send-keys.ts';
import { takeScreenshot } from '../vnc/screenshot.ts';

type GuestCalls = 'screenshot' | 'sendKeys';

export function createGuestHandlers(): Pick<Handlers, GuestCalls> {
  return {
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
  };
}
