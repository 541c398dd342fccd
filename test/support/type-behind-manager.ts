/** What a guest is told while nobody listens to it. */
import { connect } from 'node:net';
import type { Instance } from './instance.ts';

/** Types at a console while no manager has it. */
export async function typeBehindTheManager(instance: Instance, name: string, text: string): Promise<void> {
  const socket = connect(`${instance.paths.machines}/${name}/console.sock`);
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.resume();
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
}
