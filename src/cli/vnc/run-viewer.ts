/** Runs a viewer of this host, found or configured, and waits for its end. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { CommandFault } from '../command.ts';
import { escapeLine } from '../render/escape.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface Viewer {
  readonly program: string;
  readonly words: readonly string[];
}

/** TigerVNC's and others' take `HOST::PORT`, virt-viewer an address; gvncviewer counts from port 5900 on. The first that is there is taken. */
const known: Readonly<Record<string, string>> = {
  vncviewer: '{host}::{port}',
  'remote-viewer': 'vnc://{host}:{port}',
  gvncviewer: '{host}:{display}',
};

const firstPort = 5900;
const keptComplaint = 2000;

/** Whether this process has somewhere to open a window. */
export const hasDisplay = ({ DISPLAY = '', WAYLAND_DISPLAY = '' }: Environment): boolean =>
  DISPLAY !== '' || WAYLAND_DISPLAY !== '';

/** The viewer of QWARD_VIEWER, else the first that is installed, with the words for this address. */
export function findViewer(env: Environment, address: string): Viewer | CommandFault {
  const configured = (env['QWARD_VIEWER'] ?? '').split(/\s+/).filter((word) => word !== '');
  const [, host = '', port = ''] = /^vnc:\/\/(.*):(\d+)$/.exec(address) ?? [];
  const fill = (word: string): string =>
    word
      .replaceAll('{host}', host)
      .replaceAll('{port}', port)
      .replaceAll('{display}', String(Number(port) - firstPort));
  const [program, ...words] = configured;
  if (program !== undefined) {
    const placed = words.some((word) => /\{(?:port|display)\}/.test(word));
    return { program, words: (placed ? words : [...words, known['vncviewer'] ?? '']).map(fill) };
  }
  const found = Object.entries(known).find(([name]) => isThere(name, env['PATH'] ?? ''));
  if (found !== undefined) return { program: found[0], words: [fill(found[1])] };
  return {
    message: `no viewer is installed: ${Object.keys(known).join(', ')} or another in QWARD_VIEWER expected`,
    hint: 'apt-get install tigervnc-viewer, or virt-viewer, or gvncviewer',
  };
}

/** The fault where it cannot be run, or ends with one. */
export function runViewer({ program, words }: Viewer, env: Environment): Promise<CommandFault | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'], env });
    let complaint = '';
    child.stderr.on('data', (piece: Buffer) => {
      complaint = (complaint + piece.toString()).slice(-keptComplaint);
    });
    child.once('error', (error) =>
      resolve({ message: `${program} cannot be run: ${error.message}`, hint: 'look at QWARD_VIEWER' }),
    );
    child.once('close', (status) => {
      const last = complaint.trimEnd().split('\n').at(-1) ?? '';
      const message = `${program} ended with status ${status ?? 0}${last === '' ? '' : `: ${escapeLine(last)}`}`;
      resolve(status === 0 ? undefined : { message, hint: '' });
    });
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
