/** The colour of a state. */
import type { MachineState } from '../../api/endpoints.ts';
import type { Style } from './style.ts';

export function paintState(text: string, state: MachineState, style: Style): string {
  switch (state) {
    case 'running':
      return style.green(text);
    case 'stopped':
      return style.dim(text);
    case 'saved':
    case 'paused':
      return style.yellow(text);
    case 'starting':
    case 'stopping':
    case 'saving':
      return style.cyan(text);
    case 'crashed':
    case 'failed':
    case 'unreachable':
      return style.red(text);
  }
}
