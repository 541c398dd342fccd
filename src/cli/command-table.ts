/** Every command by name. Each is loaded only when it is called: `qward list` pays for nothing else. */
import type { Command } from './command.ts';

type Loader = () => Promise<Command>;

/** In the order of the help: groups, and within each what is used most first. */
export const commandGroups: Readonly<Record<string, Readonly<Record<string, Loader>>>> = {
  'Machines at work': {
    list: async () => (await import('./commands/list.ts')).list,
    status: async () => (await import('./commands/status.ts')).status,
    start: async () => (await import('./commands/start.ts')).start,
    stop: async () => (await import('./commands/stop.ts')).stop,
    kill: async () => (await import('./commands/kill.ts')).kill,
    reset: async () => (await import('./commands/reset.ts')).reset,
    save: async () => (await import('./commands/save.ts')).save,
    restore: async () => (await import('./commands/restore.ts')).restore,
    migrate: async () => (await import('./commands/migrate.ts')).migrate,
    snapshot: async () => (await import('./commands/snapshot.ts')).snapshot,
    'discard-state': async () => (await import('./commands/discard-state.ts')).discardState,
    pause: async () => (await import('./commands/pause.ts')).pause,
    resume: async () => (await import('./commands/resume.ts')).resume,
    autostart: async () => (await import('./commands/autostart.ts')).autostart,
    wait: async () => (await import('./commands/wait.ts')).wait,
    console: async () => (await import('./commands/console.ts')).console,
    ssh: async () => (await import('./commands/ssh.ts')).ssh,
    vnc: async () => (await import('./commands/vnc.ts')).vnc,
    media: async () => (await import('./commands/media.ts')).media,
    attach: async () => (await import('./commands/attach.ts')).attach,
    nvram: async () => (await import('./commands/nvram.ts')).nvram,
    resize: async () => (await import('./commands/resize.ts')).resize,
    chain: async () => (await import('./commands/chain.ts')).chain,
    backup: async () => (await import('./commands/backup.ts')).backup,
    commit: async () => (await import('./commands/commit.ts')).commit,
    pull: async () => (await import('./commands/pull.ts')).pull,
    mirror: async () => (await import('./commands/mirror.ts')).mirror,
    detach: async () => (await import('./commands/detach.ts')).detach,
    screenshot: async () => (await import('./commands/screenshot.ts')).screenshot,
    'send-key': async () => (await import('./commands/send-key.ts')).sendKey,
    stats: async () => (await import('./commands/stats.ts')).stats,
    top: async () => (await import('./commands/top.ts')).top,
    logs: async () => (await import('./commands/logs.ts')).logs,
    events: async () => (await import('./commands/events.ts')).events,
    monitor: async () => (await import('./commands/monitor.ts')).monitor,
    qmp: async () => (await import('./commands/qmp.ts')).qmp,
  },
  'Inside the guest': {
    run: async () => (await import('./commands/run.ts')).run,
    exec: async () => (await import('./commands/exec.ts')).exec,
    cp: async () => (await import('./commands/cp.ts')).cp,
    guest: async () => (await import('./commands/guest.ts')).guest,
    freeze: async () => (await import('./commands/freeze.ts')).freeze,
    thaw: async () => (await import('./commands/thaw.ts')).thaw,
    'time-sync': async () => (await import('./commands/time-sync.ts')).timeSync,
  },
  Definitions: {
    create: async () => (await import('./commands/create.ts')).create,
    define: async () => (await import('./commands/define.ts')).define,
    edit: async () => (await import('./commands/edit.ts')).edit,
    show: async () => (await import('./commands/show.ts')).show,
    set: async () => (await import('./commands/set.ts')).set,
    apply: async () => (await import('./commands/apply.ts')).apply,
    rename: async () => (await import('./commands/rename.ts')).rename,
    import: async () => (await import('./commands/import.ts')).importMachines,
    export: async () => (await import('./commands/export.ts')).exportMachine,
    clone: async () => (await import('./commands/clone.ts')).clone,
    rm: async () => (await import('./commands/rm.ts')).rm,
  },
  Rights: {
    grant: async () => (await import('./commands/grant.ts')).grant,
    revoke: async () => (await import('./commands/revoke.ts')).revoke,
    grants: async () => (await import('./commands/grants.ts')).grants,
    give: async () => (await import('./commands/give.ts')).give,
    history: async () => (await import('./commands/history.ts')).history,
  },
  Images: {
    image: async () => (await import('./commands/image.ts')).image,
    disk: async () => (await import('./commands/disk.ts')).disk,
  },
  Networks: {
    network: async () => (await import('./commands/network.ts')).network,
  },
  Confinement: {
    explain: async () => (await import('./commands/explain.ts')).explain,
    audit: async () => (await import('./commands/audit.ts')).audit,
    drill: async () => (await import('./commands/drill.ts')).drill,
    why: async () => (await import('./commands/why.ts')).why,
    claims: async () => (await import('./commands/claims.ts')).claims,
    claim: async () => (await import('./commands/claim.ts')).claim,
    unclaim: async () => (await import('./commands/unclaim.ts')).unclaim,
    policy: async () => (await import('./commands/policy.ts')).policy,
    doctor: async () => (await import('./commands/doctor.ts')).doctor,
  },
  'qward itself': {
    host: async () => (await import('./commands/host.ts')).host,
    'dial-stdio': async () => (await import('./commands/dial-stdio.ts')).dialStdio,
    info: async () => (await import('./commands/info.ts')).info,
    version: async () => (await import('./commands/version.ts')).version,
    help: async () => (await import('./commands/help.ts')).help,
    completion: async () => (await import('./commands/completion.ts')).completion,
  },
};

/** Not in the help: what the completion scripts call. */
const hidden: Readonly<Record<string, Loader>> = {
  __complete: async () => (await import('./commands/complete.ts')).complete,
};

export const commandNames: readonly string[] = Object.values(commandGroups).flatMap(Object.keys);

export function findCommand(name: string): Loader | undefined {
  for (const group of [...Object.values(commandGroups), hidden])
    if (Object.hasOwn(group, name)) return group[name];
  return undefined;
}

/** Every command of the help, loaded. */
export function loadCommands(): Promise<readonly Command[]> {
  return Promise.all(
    Object.values(commandGroups).flatMap((group) => Object.values(group).map((load) => load())),
  );
}
