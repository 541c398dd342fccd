/** Network cards. */
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, childrenOf, type XmlElement } from '../xml/xml-node.ts';
import type { PlainMap } from '../../definition/key-path.ts';
import { addressesAreChosen, alias, hostPaths, liveState, noKey, tuning, wholeNotYet } from './phrases.ts';
import { isOn, wholeNumberOf } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';

const alternatives: Readonly<Record<string, string>> = {
  direct: 'no macvtap; put the card of the host on a bridge, and the machine on that bridge',
  hostdev: 'no PCI devices of the host; a bridge joins the machine to the same network',
  vhostuser: 'no vhost-user back-ends of your own',
  vdpa: 'no vDPA devices',
  ethernet: 'no TAP devices made by others; a bridge does the same',
  internal: 'for Hyper-V and VirtualBox only',
  null: 'a card that is joined to nothing; nics[].link: down comes near',
  vds: 'for ESX only',
};

/** What is at the other end; text where it cannot be. */
function otherEnd(card: XmlElement, bridges: ReadonlyMap<string, string>): PlainMap | string {
  const type = attributeOf(card, 'type') ?? '';
  const source = childOf(card, 'source');
  if (type === 'bridge') {
    const bridge = attributeOf(source, 'bridge');
    return bridge === undefined ? 'a bridge without a name' : { kind: 'bridge', bridge };
  }
  if (type === 'network') {
    const network = attributeOf(source, 'network');
    if (network === undefined) return 'a network without a name';
    const bridge = bridges.get(network);
    return bridge === undefined ? { kind: 'network', network } : { kind: 'bridge', bridge };
  }
  if (type === 'user') return { kind: 'user' };
  return alternatives[type] ?? `no cards of type ${type}; sockets between QEMUs are a bridge here`;
}

function card(place: Place): Outcome {
  const { element, draft } = place;
  const end = otherEnd(element, draft.bridges);
  if (typeof end === 'string') return wholeNotYet(end);
  const id = draft.idOf(element, `net${draft.items('nics').length}`);
  const order = wholeNumberOf(attributeOf(childOf(element, 'boot'), 'order') ?? '');
  if (order !== undefined) draft.bootOrder.push({ order, id });
  return { ...imported, part: draft.begin('nics', element, { id, ...end }) };
}

function model(place: Place): Verdict {
  const { value } = place;
  if (value === 'virtio') return imported;
  if (value.startsWith('virtio-')) return changed('virtio devices: on q35 the new kind alone, on pc both');
  if (['e1000e', 'rtl8139', 'e1000'].includes(value)) {
    const verdict = place.set('model', value);
    return verdict;
  }
  if (value === 'igb') {
    place.set('model', 'e1000e');
    return changed('no igb: the card is an e1000e, and the guest needs its driver');
  }
  place.set('model', 'rtl8139');
  return changed(`no ${value.slice(0, 30)}: the card is an rtl8139, and the guest needs its driver`);
}

const ring = (key: string) => (place: Place) => place.set(key, wholeNumberOf(place.value) ?? 0);

function romBar(place: Place): Verdict {
  return place.set('rom', isOn(place.value));
}

function mac(place: Place): Verdict {
  return place.set('mac', place.value.toLowerCase());
}

/** Each port of the ranges by itself. */
function portForward(place: Place): Verdict {
  const { element, draft, part } = place;
  const [proto, address] = [attributeOf(element, 'proto') ?? 'tcp', attributeOf(element, 'address')];
  if (attributeOf(element, 'dev') !== undefined)
    return whole(unsupported('ports are forwarded by address, not by card'));
  let verdict: Verdict = unsupported('no range of ports');
  for (const range of childrenOf(element, 'range')) {
    const [start, end, to] = ['start', 'end', 'to'].map((name) =>
      wholeNumberOf(attributeOf(range, name) ?? ''),
    );
    const last = end ?? start ?? 0;
    if (start === undefined || last - start > 63 || attributeOf(range, 'exclude') !== undefined)
      return whole(unsupported('at most 64 ports one after the other, without exceptions'));
    for (let port = start; port <= last; port += 1) {
      const host =
        address === undefined ? `${port}` : `${address.includes(':') ? `[${address}]` : address}:${port}`;
      const guest = (to ?? start) + port - start;
      verdict = draft.append(part, 'forward', `${proto} ${host} -> ${guest}`, element);
    }
  }
  return whole(
    address === undefined && verdict.is === 'imported'
      ? changed('without an address ports are forwarded from 127.0.0.1')
      : verdict,
  );
}

export const rulesOfNics: Rules = {
  'devices/interface': card,
  'devices/interface@type': imported,
  'devices/interface@managed': imported,
  'devices/interface@trustGuestRxFilters': changed('the guest has no say in filters of the host'),
  'devices/interface/mac@address': mac,
  'devices/interface/mac@type': imported,
  'devices/interface/mac@check': imported,
  'devices/interface/mac@currentAddress': liveState,
  'devices/interface/model@type': model,
  'devices/interface/source@bridge': imported,
  'devices/interface/source@network': (place) => {
    const bridge = place.draft.bridges.get(place.value);
    return bridge === undefined ? imported : changed(`the network ${place.value} is the bridge ${bridge}`);
  },
  'devices/interface/source@portgroup': unsupported('networks have no port groups'),
  'devices/interface/source@portid': liveState,
  'devices/interface/source@dev': changed(
    'which card of the host user networking takes is the host’s routing',
  ),
  'devices/interface/source@managed': imported,
  'devices/interface/source/address/**': unsupported(noKey),
  'devices/interface/target@dev': changed('TAP devices have names of qward’s'),
  'devices/interface/target@managed': changed('TAP devices are made by qward'),
  'devices/interface/guest@dev': changed('names of cards are the guest’s'),
  'devices/interface/guest@actual': liveState,
  'devices/interface/script@path': unsupported(
    'no scripts: what root must do on the host is the administrator’s',
  ),
  'devices/interface/downscript@path': unsupported(
    'no scripts: what root must do on the host is the administrator’s',
  ),
  'devices/interface/driver@name': (place) =>
    place.value === 'vhost'
      ? changed('vhost-net where the policy allows /dev/vhost-net')
      : place.value === 'qemu'
        ? imported
        : unsupported(noKey),
  'devices/interface/driver@queues': (place) => place.set('queues', wholeNumberOf(place.value) ?? 0),
  'devices/interface/driver@rx_queue_size': ring('rxRing'),
  'devices/interface/driver@tx_queue_size': ring('txRing'),
  'devices/interface/driver@txmode': tuning,
  'devices/interface/driver@ioeventfd': tuning,
  'devices/interface/driver@event_idx': tuning,
  'devices/interface/driver@rss': tuning,
  'devices/interface/driver@rss_hash_report': tuning,
  'devices/interface/driver@packed': tuning,
  'devices/interface/driver@page_per_vq': tuning,
  'devices/interface/driver@iommu': tuning,
  'devices/interface/driver@ats': tuning,
  'devices/interface/driver/host/**': tuning,
  'devices/interface/driver/guest/**': tuning,
  'devices/interface/tune/sndbuf#': tuning,
  'devices/interface/coalesce/**': tuning,
  'devices/interface/link@state': (place) =>
    place.value === 'up' ? imported : place.set('link', place.value),
  'devices/interface/mtu@size': (place) => place.set('mtu', wholeNumberOf(place.value) ?? 0),
  'devices/interface/boot@order': imported,
  'devices/interface/boot@loadparm': unsupported('for s390 only'),
  'devices/interface/rom@bar': romBar,
  'devices/interface/rom@enabled': romBar,
  'devices/interface/rom@file': changed('network boot is by the ROM that QEMU has for the card'),
  'devices/interface/backend@tap': hostPaths,
  'devices/interface/backend@vhost': hostPaths,
  'devices/interface/backend@type': (place) =>
    place.value === 'passt' ? imported : changed('user networking is by passt, in a jail of its own'),
  'devices/interface/backend@logFile': hostPaths,
  'devices/interface/bandwidth': whole(unsupported('no bandwidth limits')),
  'devices/interface/filterref': whole(
    unsupported('no filters of libvirt (nwfilter); nftables on the bridge does the same'),
  ),
  'devices/interface/vlan': whole(unsupported('no VLAN tags: use a bridge for each VLAN')),
  'devices/interface/virtualport': whole(unsupported('no Open vSwitch, no 802.1Qbg: use a Linux bridge')),
  'devices/interface/port@isolated': unsupported('ports of a bridge are not isolated'),
  'devices/interface/ip': whole(unsupported('addresses are the guest’s, or given by DHCP')),
  'devices/interface/route': whole(unsupported('routes are the guest’s, or given by DHCP')),
  'devices/interface/portForward': portForward,
  'devices/interface/teaming': whole(unsupported('no failover between a passed-through card and another')),
  'devices/interface/acpi/**': addressesAreChosen,
  'devices/interface/alias@name': alias,
  'devices/interface/address': whole(addressesAreChosen),
};
