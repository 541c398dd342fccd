import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { uidOfPeer } from './peer-of-port.ts';

const head =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const row = (from: string, to: string, state: string, uid: number): string =>
  `   1: ${from} ${to} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 12345 1 0 20 4\n`;

test('the owner is that of the socket which connected, and only while it is connected', () => {
  const [ours, theirs] = ['0100007F:1F90', '0100007F:C000'];
  const table = (state: string): string =>
    head + row(ours, theirs, '01', 7) + row('0200007F:C000', ours, '01', 8) + row(theirs, ours, state, 1000);
  assert.equal(uidOfPeer(0xc000, 0x1f90, table('01')), 1000);
  // TIME_WAIT, FIN_WAIT1, and nobody's any more.
  for (const state of ['06', '04', '0A']) assert.equal(uidOfPeer(0xc000, 0x1f90, table(state)), undefined);
  assert.equal(uidOfPeer(0xc001, 0x1f90, table('01')), undefined);
  assert.equal(uidOfPeer(1, 2, ''), undefined);
});

test('of a real connection it is this process', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  assert.equal(uidOfPeer(client.localPort ?? 0, port), process.getuid?.());
  client.destroy();
  server.close();
});
