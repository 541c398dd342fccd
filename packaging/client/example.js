// Starts a machine, shows the first line of its console, and stops it: node example.js NAME [SOCKET]
import { QwardClient, TransportError } from '@qward/client';

const [name = 'demo', socketPath] = process.argv.slice(2);
const client = new QwardClient(socketPath === undefined ? {} : { socketPath });

/** The result of a call, or the end of this program with what the manager said. */
function take(reply) {
  if (reply.ok) return reply.result;
  for (const { message, hint } of reply.faults) console.error(`${message}\n  ${hint}`);
  process.exit(1);
}

try {
  const machines = take(await client.call('list'));
  console.log(`${machines.length} machines`);
  console.log(`${name}: ${take(await client.call('start', { name })).outcome}`);
  const output = take(await client.console({ name, mode: 'watch' }));
  for await (const message of output) {
    if (message.kind === 'notice') continue;
    console.log(`console: ${Buffer.from(message.bytes).toString('utf8').split('\n')[0]}`);
    break;
  }
  output.close();
  console.log(`${name}: ${take(await client.call('stop', { name, timeoutMs: 30_000 })).outcome}`);
} catch (error) {
  if (!(error instanceof TransportError)) throw error;
  console.error(`no manager on ${client.reach.name}: ${error.message}`);
  process.exitCode = 5;
} finally {
  client.close();
}
