/** Runs a viewer that is installed here, and waits for its end. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { CommandFault } from '../command.ts';

/** TigerVNC's and others' `HOST::PORT`; virt-viewer's takes the address. */
const viewers: Readonly<Record<string, (address: string) => string>> = {
  vncviewer: (address) => address.replace(/^vnc:\/\/(.*):/, '$1::'),
  'remote-viewer': (address) => address,
};

export async function runViewer(address: string, path: string): Promise<CommandFault | undefined> {
  const found = Object.entries(viewers).find(([name]) => isThere(name, path));
  if (found === undefined)
    return {
      message: `no viewer is installed: ${Object.keys(viewers).join(' or ')} expected`,
      hint: 'apt-get install tigervnc-viewer, or virt-viewer',
    };
  const [name, words] = found;
  return await new Promise((resolve) => {
    const child = spawn(name, [words(address)], { stdio: 'ignore' });
    child.once('error', (error) => resolve({ message: `${name} cannot be run: ${error.message}`, hint: '' }));
    child.once('close', (status) =>
      resolve(status === 0 ? undefined : { message: `${name} ended with status ${status ?? 0}`, hint: '' }),
    );
  });
}

function isThere(name: string, path: string): boolean {
  return path.split(':').some((directory) => {
    try {
      accessSync(`${directory}/${name}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
