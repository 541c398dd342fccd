/** `see-screen ADDRESS`, bundled for the lab's host: looks at a screen until something is on it, and prints its size and how much. */
import { RfbViewer } from '../../test/support/rfb.ts';

async function main(): Promise<void> {
  const [, , address = ''] = process.argv;
  using viewer = await RfbViewer.open(address);
  for (;;) {
    const { width, height, lit } = await viewer.screen();
    if (lit === 0) continue;
    console.log(`${width}x${height}, ${lit} bytes lit`);
    return;
  }
}

void main();
