/** `in-guest SOCKET MACHINE COMMAND`, bundled for the lab's host: what the command prints in the shell of the demo guest. */
import { QwardClient } from '../../src/api/client.ts';
import { guestRuns } from '../../test/support/guest-shell.ts';

async function main(): Promise<void> {
  const [, , socketPath = '', machine = '', command = ''] = process.argv;
  using client = new QwardClient({ socketPath });
  console.log(await guestRuns({ client }, machine, command, 110_000));
}

void main();
