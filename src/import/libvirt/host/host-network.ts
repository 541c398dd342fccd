/** A virtual network of libvirt: the bridge that machines of it are joined to. */
import { parseXml } from '../../xml/parse-xml.ts';
import { attributeOf, childOf, textOf } from '../../xml/xml-node.ts';

export interface HostNetwork {
  readonly name: string;
  /** Undefined: there is none, as with macvtap. */
  readonly bridge: string | undefined;
  /** libvirt makes the bridge, gives addresses and translates them; of a bridge that the host has anyway it does not. */
  readonly made: boolean;
}

/** Undefined for what is no network. */
export function readNetwork(xml: string): HostNetwork | undefined {
  const reading = parseXml(xml);
  const root = reading.ok ? reading.roots[0] : undefined;
  if (root?.name !== 'network') return undefined;
  const bridge = attributeOf(childOf(root, 'bridge'), 'name');
  const mode = attributeOf(childOf(root, 'forward'), 'mode');
  const name = textOf(childOf(root, 'name'));
  return { name, bridge: bridge === '' ? undefined : bridge, made: mode !== 'bridge' };
}
