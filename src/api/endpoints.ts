/**
 * Method and path of every call of the API, and the states of a machine: what the client needs at run time. It is apart
 * from contract.ts, since loading the schemas there costs more than all else that `qward list` does.
 */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `:name` is a parameter. What else a call takes goes into the query of a GET or DELETE, else into the body. */
  readonly path: `/v1/${string}`;
  /** Upgrades to a WebSocket. */
  readonly stream?: true;
}

export const endpoints = {
  info: { method: 'GET', path: '/v1/info' },
  list: { method: 'GET', path: '/v1/machines' },
  define: { method: 'POST', path: '/v1/machines' },
  status: { method: 'GET', path: '/v1/machines/:name' },
  definition: { method: 'GET', path: '/v1/machines/:name/definition' },
  edit: { method: 'PUT', path: '/v1/machines/:name/definition' },
  set: { method: 'POST', path: '/v1/machines/:name/set' },
  remove: { method: 'DELETE', path: '/v1/machines/:name' },
  setVariables: { method: 'PUT', path: '/v1/machines/:name/variables' },
  rename: { method: 'POST', path: '/v1/machines/:name/rename' },
  clone: { method: 'POST', path: '/v1/machines/:name/clone' },
  start: { method: 'POST', path: '/v1/machines/:name/start' },
  stop: { method: 'POST', path: '/v1/machines/:name/stop' },
  kill: { method: 'POST', path: '/v1/machines/:name/kill' },
  reset: { method: 'POST', path: '/v1/machines/:name/reset' },
  save: { method: 'POST', path: '/v1/machines/:name/save' },
  snapshots: { method: 'GET', path: '/v1/machines/:name/snapshots' },
  snapshotCreate: { method: 'POST', path: '/v1/machines/:name/snapshots' },
  snapshotRevert: { method: 'POST', path: '/v1/machines/:name/snapshots/:snapshot/revert' },
  snapshotRemove: { method: 'DELETE', path: '/v1/machines/:name/snapshots/:snapshot' },
  migrate: { method: 'GET', path: '/v1/machines/:name/migrate', stream: true },
  arrive: { method: 'GET', path: '/v1/machines/:name/arrive', stream: true },
  settleMove: { method: 'POST', path: '/v1/machines/:name/move' },
  discardState: { method: 'DELETE', path: '/v1/machines/:name/state' },
  pause: { method: 'POST', path: '/v1/machines/:name/pause' },
  resume: { method: 'POST', path: '/v1/machines/:name/resume' },
  wait: { method: 'POST', path: '/v1/machines/:name/wait' },
  autostart: { method: 'GET', path: '/v1/autostart' },
  autostartOff: { method: 'DELETE', path: '/v1/machines/:name/autostart' },
  networks: { method: 'GET', path: '/v1/networks' },
  hostBoot: { method: 'POST', path: '/v1/host/boot' },
  hostShutdown: { method: 'POST', path: '/v1/host/shutdown' },
  explain: { method: 'GET', path: '/v1/machines/:name/explain' },
  audit: { method: 'GET', path: '/v1/machines/:name/audit' },
  drill: { method: 'POST', path: '/v1/machines/:name/drill' },
  auditPid: { method: 'GET', path: '/v1/audit/:pid' },
  logs: { method: 'GET', path: '/v1/machines/:name/logs' },
  why: { method: 'POST', path: '/v1/machines/:name/why' },
  consoleOutput: { method: 'GET', path: '/v1/machines/:name/console/output' },
  console: { method: 'GET', path: '/v1/machines/:name/console', stream: true },
  vnc: { method: 'GET', path: '/v1/machines/:name/vnc', stream: true },
  screens: { method: 'GET', path: '/v1/screens' },
  media: { method: 'GET', path: '/v1/machines/:name/media' },
  setMedium: { method: 'PUT', path: '/v1/machines/:name/media' },
  stats: { method: 'GET', path: '/v1/machines/:name/stats' },
  allStats: { method: 'GET', path: '/v1/stats' },
  devices: { method: 'GET', path: '/v1/machines/:name/devices' },
  attach: { method: 'POST', path: '/v1/machines/:name/attach' },
  resizeDisk: { method: 'POST', path: '/v1/machines/:name/resize' },
  chain: { method: 'GET', path: '/v1/machines/:name/chain' },
  backup: { method: 'POST', path: '/v1/machines/:name/backup' },
  backups: { method: 'GET', path: '/v1/machines/:name/backups' },
  overlay: { method: 'POST', path: '/v1/machines/:name/overlay' },
  commit: { method: 'POST', path: '/v1/machines/:name/commit' },
  pull: { method: 'POST', path: '/v1/machines/:name/pull' },
  mirror: { method: 'POST', path: '/v1/machines/:name/mirror' },
  detach: { method: 'POST', path: '/v1/machines/:name/detach' },
  screenshot: { method: 'GET', path: '/v1/machines/:name/screenshot' },
  sendKeys: { method: 'POST', path: '/v1/machines/:name/keys' },
  guest: { method: 'GET', path: '/v1/machines/:name/guest' },
  exec: { method: 'POST', path: '/v1/machines/:name/exec' },
  guestFile: { method: 'GET', path: '/v1/machines/:name/file', stream: true },
  run: { method: 'GET', path: '/v1/run', stream: true },
  freeze: { method: 'POST', path: '/v1/machines/:name/freeze' },
  thaw: { method: 'POST', path: '/v1/machines/:name/thaw' },
  timeSync: { method: 'POST', path: '/v1/machines/:name/time-sync' },
  qmp: { method: 'POST', path: '/v1/machines/:name/qmp' },
  monitor: { method: 'POST', path: '/v1/machines/:name/monitor' },
  grants: { method: 'GET', path: '/v1/machines/:name/grants' },
  grant: { method: 'POST', path: '/v1/machines/:name/grant' },
  revoke: { method: 'POST', path: '/v1/machines/:name/revoke' },
  give: { method: 'POST', path: '/v1/machines/:name/give' },
  history: { method: 'GET', path: '/v1/history' },
  historyFollow: { method: 'GET', path: '/v1/history/follow', stream: true },
  historyCompare: { method: 'GET', path: '/v1/history/compare' },
  disks: { method: 'GET', path: '/v1/disks' },
  diskProgress: { method: 'GET', path: '/v1/disks/jobs/:job' },
  diskInfo: { method: 'POST', path: '/v1/disks/info' },
  diskCreate: { method: 'POST', path: '/v1/disks/create' },
  diskConvert: { method: 'POST', path: '/v1/disks/convert' },
  diskImport: { method: 'POST', path: '/v1/disks/import' },
  diskResize: { method: 'POST', path: '/v1/disks/resize' },
  diskCheck: { method: 'POST', path: '/v1/disks/check' },
  diskRebase: { method: 'POST', path: '/v1/disks/rebase' },
  diskCommit: { method: 'POST', path: '/v1/disks/commit' },
  diskSnapshot: { method: 'POST', path: '/v1/disks/snapshot' },
  policy: { method: 'GET', path: '/v1/policy' },
  policyExplain: { method: 'GET', path: '/v1/machines/:name/policy' },
  doctor: { method: 'GET', path: '/v1/doctor' },
  events: { method: 'GET', path: '/v1/events', stream: true },
} as const satisfies Record<string, Endpoint>;

export type EndpointName = keyof typeof endpoints;

/**
 * stopped: not running, last run ended as asked. saved: not running, and the next start goes on where it was. crashed: QEMU ended by itself or by a signal. failed: the last start
 * did not succeed. unreachable: QEMU lives and its monitor does not answer.
 */
export const machineStates = [
  'stopped',
  'starting',
  'running',
  'paused',
  'stopping',
  'saving',
  'saved',
  'crashed',
  'failed',
  'unreachable',
] as const;
export type MachineState = (typeof machineStates)[number];
/** States in which there is no process. */
export const endedStates: readonly MachineState[] = ['stopped', 'saved', 'crashed', 'failed'];
