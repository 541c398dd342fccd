/** Reads a request by hand: every field checked, bounded and typed; an unknown field, call or type ends the connection. */
import {
  brokerLogNames,
  headSizes,
  maxLogLines,
  type BrokerRequest,
  type FileRequest,
} from '../protocol/broker.ts';
import { partActions } from '../protocol/disk-job.ts';
import {
  deviceNode,
  jailedPrograms,
  maxCpu,
  firstDescriptor,
  maxDescriptors,
  maxDevices,
  maxPins,
  maxRelaxed,
  maxShown,
  relaxableWalls,
  relaxedTo,
  helperSocketNames,
  shownKinds,
  socketNames,
  type Descriptor,
  type LaterDescriptor,
  type LaunchLimits,
  type LaunchRequest,
  type Pin,
  type Relaxed,
  type Shown,
} from '../protocol/launch.ts';
import {
  integer,
  isObject,
  list,
  oneOf,
  orNull,
  record,
  text,
  wrong,
  type Parse,
} from '../protocol/values.ts';
import { macPattern, nicPattern } from '../protocol/networks.ts';
import { access, machine, network, parserOf, tagged, v } from './parse-values.ts';

/** No control characters. */
const plain = /^[^\u0000-\u001f\u007f]*$/;

/** Environment variables, as a shell has them. */
const environment: Parse<Record<string, string>> = (value, at) => {
  const entries = isObject(value) ? Object.entries(value) : wrong(at, 'an object expected');
  if (entries.length > 64) return wrong(at, 'at most 64 variables expected');
  return Object.fromEntries(
    entries.map(([name, content]) => [
      text(64, /^[A-Za-z_][A-Za-z0-9_]*$/)(name, `${at} name`),
      text(4096, plain)(content, `${at}.${name}`),
    ]),
  );
};

const path = text(4095, /^\/[^\u0000-\u001f\u007f]*$/);
const claimant = orNull(integer(1, 0xffff_fffd));
const maxBytes = integer(0, Number.MAX_SAFE_INTEGER);

const distinct =
  (parse: Parse<string[]>): Parse<string[]> =>
  (value, at) => {
    const items = parse(value, at);
    return new Set(items).size === items.length ? items : wrong(at, 'each once expected');
  };

const bridge = text(15, /^[a-zA-Z][a-zA-Z0-9_.-]*$/);

const later = {
  file: record({ kind: oneOf(['file']), path, access, claimant, reopened: oneOf([true, false]) }),
  tap: record({ kind: oneOf(['tap']), bridge }),
  card: record({ kind: oneOf(['card']), network, nic: text(31, nicPattern), mac: text(17, macPattern) }),
  usb: record({ kind: oneOf(['usb']), device: text(255, relaxedTo) }),
};

const descriptor = tagged<Descriptor>('kind', {
  ...later,
  socket: record({ kind: oneOf(['socket']), name: oneOf(socketNames) }),
  queue: record({
    kind: oneOf(['queue']),
    of: integer(firstDescriptor, firstDescriptor + maxDescriptors - 1),
  }),
  'vhost-net': record({ kind: oneOf(['vhost-net']) }),
  netdev: record({ kind: oneOf(['netdev']), machine, socket: oneOf(helperSocketNames) }),
});

const limits = record<LaunchLimits>({
  memory: maxBytes,
  pids: integer(1, 65_536),
  cpuWeight: integer(1, 10_000),
  cpuQuota: orNull(integer(1000, 1_000_000_000)),
  ioWeight: integer(1, 10_000),
  openFiles: integer(16, 1_048_576),
  fileSize: maxBytes,
});

const pins = list(
  maxPins,
  record<Pin>({ thread: text(15, /^[A-Za-z0-9 ./-]*$/), cpus: list(maxCpu + 1, integer(0, maxCpu)) }),
);
const relaxed = list(maxRelaxed, record<Relaxed>({ relax: oneOf(relaxableWalls), to: text(255, relaxedTo) }));

const launch = record<Required<LaunchRequest>>(
  {
    machine,
    program: oneOf(jailedPrograms),
    binary: path,
    argv: list(2048, text(16_384, /^[^\u0000]*$/)),
    env: environment,
    descriptors: list(maxDescriptors, descriptor),
    devices: distinct(list(maxDevices, text(255, deviceNode))),
    root: list(256, record({ source: path, target: path })),
    limits,
    relaxed,
    shown: list(maxShown, record<Shown>({ kind: oneOf(shownKinds), path, access, claimant })),
    pins,
  },
  { relaxed: [], shown: [], pins: [] },
);

const fileRequest = record<FileRequest>({ path, access, claimant });

const request = tagged<BrokerRequest>('call', {
  launch: record({ v, call: oneOf(['launch']), launch }),
  kill: record({ v, call: oneOf(['kill']), machine }),
  reap: record({ v, call: oneOf(['reap']), machine }),
  pin: record({ v, call: oneOf(['pin']), machine }),
  inspect: record({ v, call: oneOf(['inspect']), machine }),
  'inspect-pid': record({ v, call: oneOf(['inspect-pid']), pid: integer(1, 4_194_304) }),
  probe: record({
    v,
    call: oneOf(['probe']),
    machine,
    paths: list(512, fileRequest),
    head: oneOf(headSizes),
  }),
  open: record({ v, call: oneOf(['open']), machine, descriptor: tagged<LaterDescriptor>('kind', later) }),
  status: record({ v, call: oneOf(['status']) }),
  history: record({
    v,
    call: oneOf(['history']),
    log: oneOf(brokerLogNames),
    since: text(32, plain),
    limit: integer(1, maxLogLines),
  }),
  forget: record({ v, call: oneOf(['forget']), machine }),
  'autostart-off': record({ v, call: oneOf(['autostart-off']), machine }),
  rename: record({ v, call: oneOf(['rename']), machine, to: machine }),
  part: record({ v, call: oneOf(['part']), machine, path, action: oneOf(partActions) }),
  'list-directory': record({ v, call: oneOf(['list-directory']), path }),
});

export const parseRequest = parserOf(request);
