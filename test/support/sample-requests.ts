/** One valid request of every call of the broker's sockets. */
import type { BrokerCall, BrokerRequest } from '../../src/protocol/broker.ts';
import type { ClaimCall, ClaimRequest } from '../../src/protocol/claims.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';

export function sampleRequests(launch: LaunchRequest, images: string): readonly BrokerRequest[] {
  const path = `${images}/disk`;
  const table: { readonly [Call in BrokerCall]: Extract<BrokerRequest, { call: Call }> } = {
    launch: { v: 1, call: 'launch', launch },
    kill: { v: 1, call: 'kill', machine: 'one' },
    reap: { v: 1, call: 'reap', machine: 'one' },
    pin: { v: 1, call: 'pin', machine: 'one' },
    inspect: { v: 1, call: 'inspect', machine: 'one' },
    'inspect-pid': { v: 1, call: 'inspect-pid', pid: process.pid },
    probe: {
      v: 1,
      call: 'probe',
      machine: 'one',
      paths: [{ path, access: 'ro', claimant: null }],
      head: 1024,
    },
    open: {
      v: 1,
      call: 'open',
      machine: 'one',
      descriptor: { kind: 'file', path, access: 'ro', claimant: null, reopened: false },
    },
    status: { v: 1, call: 'status' },
    history: { v: 1, call: 'history', log: 'broker', since: '2026-01-01T00:00:00.000Z', limit: 10 },
    forget: { v: 1, call: 'forget', machine: 'one' },
    'autostart-off': { v: 1, call: 'autostart-off', machine: 'one' },
    rename: { v: 1, call: 'rename', machine: 'one', to: 'two' },
    part: { v: 1, call: 'part', machine: 'one', path: `${path}.part`, action: 'discard' },
    'list-directory': { v: 1, call: 'list-directory', path: images },
  };
  return Object.values(table);
}

export function sampleClaimRequests(images: string): readonly ClaimRequest[] {
  const table: { readonly [Call in ClaimCall]: Extract<ClaimRequest, { call: Call }> } = {
    claim: { v: 1, call: 'claim', machine: 'one', files: [{ path: `${images}/disk`, access: 'rw' }] },
    'claim-like': { v: 1, call: 'claim-like', machine: 'two', like: 'one' },
    unclaim: { v: 1, call: 'unclaim', machine: 'one', paths: [`${images}/disk`] },
    'network-create': {
      v: 1,
      call: 'network-create',
      network: { name: 'lan', subnet: '10.77.0.0/24', mode: 'nat', who: { users: ['anna'], groups: [] } },
    },
    'network-remove': { v: 1, call: 'network-remove', name: 'lan' },
    'autostart-on': { v: 1, call: 'autostart-on', machine: 'one' },
    claims: { v: 1, call: 'claims', machine: 'one' },
  };
  return Object.values(table);
}
