import type { HostResource } from './host-resources.ts';

/** One resource of the host that an argument names. */
export interface PassthroughFinding {
  /** Of the option among `qemu.args`. */
  readonly index: number;
  readonly option: string;
  readonly kind: HostResource['kind'];
  readonly resource: string;
  readonly access: 'ro' | 'rw';
  /** The grant by which it is reached: `confinement.files[0]`; null: it is not reached. */
  readonly grant: string | null;
  /** Where it is not reached: the line of the definition that would grant it, or what to do. Else empty. */
  readonly cure: string;
  /** QEMU surely wants it; else it only looks like a path. */
  readonly certain: boolean;
}
