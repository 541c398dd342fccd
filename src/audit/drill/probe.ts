/** One attempt to get out of a jail, and the attempt beside it that shows that it would be noticed. */
import type { WallName } from '../../plan/launch-plan.ts';
import type { Step } from './script.ts';

/**
 * What shows that a blocked probe means something, outside the jail and without privileges:
 * same: the same calls succeed. namespaces: they succeed for one that is root in namespaces of its own. there: what they
 * reach for exists (`steps` look at it). root: only root succeeds, and the kernel knows the call; nothing is changed.
 */
export type Control =
  | { readonly kind: 'same' | 'namespaces' | 'root' }
  | { readonly kind: 'there'; readonly steps: readonly Step[] };

export interface Probe {
  readonly name: string;
  /** The wall that it runs against first. */
  readonly wall: WallName;
  readonly attempt: string;
  readonly control: Control['kind'];
  /** Errnos of the control that say that this host lacks the thing, or gives it to no unprivileged process. */
  readonly absent?: readonly string[];
  /** It got through where all of them did. */
  readonly steps: (place: Surroundings) => readonly Step[];
  readonly controlSteps?: (place: Surroundings) => readonly Step[];
  /** Undefined where the machine has nothing of the kind to try it on. */
  readonly on?: (place: Surroundings) => boolean;
  /** What comes after it needs another process: it changes what a process may do. */
  readonly alone?: true;
  /** The limit of memory kills the prober. */
  readonly fillsMemory?: true;
}

/** What a prober finds around it: in the jail, or outside. */
export interface Surroundings {
  /** A process of the host. */
  readonly pid: number;
  /** Name of a socket without a path. */
  readonly abstractSocket: string;
  readonly tcpPort: number;
  readonly managerSocket: string;
  readonly brokerSocket: string;
  readonly claimsSocket: string;
  /** Image of a machine of this host: another's where there is one, else its own; null: there is none. */
  readonly image: string | null;
  /** A block device of the host; null: it has none. */
  readonly disk: string | null;
  /** The node of a USB device of the host; null: it has none. */
  readonly usb: string | null;
  /** Descriptors of files, open for reading and for writing; null: it has none. */
  readonly readOnly: number | null;
  readonly writable: number | null;
  /** A descriptor number that is not in use. */
  readonly freeDescriptor: number;
  /** Limits of the jail, which the same probe exceeds outside as well. */
  readonly limits: { readonly pids: number; readonly memory: number; readonly fileSize: number };
  /** The ELF file of the prober, and arguments with which it says `throughMark`. */
  readonly program: { readonly elf: Uint8Array; readonly argv: readonly string[] };
}

/** What a program that was not to run writes. */
export const throughMark = 'through!';
