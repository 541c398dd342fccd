/**
 * A disposable Debian without systemd, in a container: its init is the first process of namespaces of its own, on the kernel and
 * the cgroups of the host that runs the tests. No network. Needs root.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ScriptOutcome } from './host.ts';
import { debootstrap, inside, labCache } from './image.ts';
import { guestFiles, packagesWithoutSystemd, recipeKey, type OtherInit } from './recipe.ts';

const upWithinMs = 60_000;
const downWithinMs = 120_000;

/** Its file system, made once. */
async function treeOf(init: OtherInit, say: (line: string) => void): Promise<string> {
  const made = createHash('sha256')
    .update(readFileSync(import.meta.filename))
    .digest('hex')
    .slice(0, 8);
  const directory = join(labCache, `${recipeKey()}-${made}-${init}`);
  if (existsSync(directory)) return directory;
  const building = join(labCache, `building-${init}`);
  rmSync(building, { recursive: true, force: true });
  mkdirSync(join(labCache, 'packages'), { recursive: true });
  say(`making a host with ${init} by debootstrap, one to three minutes`);
  await debootstrap(building, packagesWithoutSystemd);
  if (init === 'openrc') {
    await inside(building, 'apt-get', 'update');
    await inside(building, 'apt-get', 'install', '--yes', '--no-install-recommends', 'openrc');
  }
  const table = join(building, 'etc/inittab');
  const lines = readFileSync(table, 'utf8').split('\n');
  // When all of the boot is done.
  const last = 'up:2345:once:/usr/bin/touch /run/lab-up';
  writeFileSync(table, [...lines.filter((line) => !line.includes('getty')), last, ''].join('\n'));
  writeFileSync(join(building, 'etc/hostname'), 'lab\n');
  writeFileSync(join(building, 'etc/fstab'), '');
  // Hierarchies of cgroups are the outer host's.
  rmSync(join(building, 'etc/runlevels/sysinit/cgroups'), { force: true });
  renameSync(building, directory);
  return directory;
}

export class LabContainer implements AsyncDisposable {
  readonly #root: string;
  #outer: ChildProcess | undefined;

  private constructor(root: string) {
    this.#root = root;
  }

  /** `payload`: a directory whose files are in /lab. */
  static async create(
    init: OtherInit,
    { payload, say }: { readonly payload: string; readonly say: (line: string) => void },
  ): Promise<LabContainer> {
    const tree = await treeOf(init, say);
    const root = mkdtempSync(join(tmpdir(), 'qward-lab-'));
    execFileSync('cp', ['-a', '--reflink=auto', `${tree}/.`, root]);
    cpSync(payload, join(root, 'lab'), { recursive: true });
    return new LabContainer(root);
  }

  async boot(): Promise<void> {
    const namespaces = ['--pid', '--fork', '--mount', '--uts', '--ipc', '--net', '--kill-child'];
    this.#outer = spawn('unshare', [...namespaces, join(guestFiles, 'container-init'), this.#root], {
      stdio: 'ignore',
    });
    const giveUpAt = performance.now() + upWithinMs;
    while ((await this.run('test -e /run/lab-up')).status !== 0) {
      if (performance.now() > giveUpAt)
        throw new Error(`not up:\n${readFileSync(join(this.#root, 'console.log'), 'utf8')}`);
      await delay(200);
    }
  }

  /** Runs a bash script as root in it. */
  run(script: string, limitMs = 120_000): Promise<ScriptOutcome> {
    const init = this.#init();
    const clean = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'TERM=dumb'];
    const child = spawn('nsenter', ['-t', String(init), '-a', '-r', '-w', ...clean, 'bash', '-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limitMs,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (piece: Buffer) => (output += piece.toString('utf8')));
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      // Not `close`: daemons that it starts keep its output open.
      child.once('exit', (status) => setImmediate(() => resolve({ status: status ?? 255, output })));
    });
  }

  /** The output of a script that must succeed. */
  async demand(script: string, limitMs?: number): Promise<string> {
    const { status, output } = await this.run(script, limitMs);
    if (status !== 0) throw new Error(`status ${status} in the container:\n${script}\n${output}`);
    return output;
  }

  #init(): number {
    const children = `/proc/${this.#outer?.pid}/task/${this.#outer?.pid}/children`;
    return Number(readFileSync(children, 'utf8').trim().split(' ')[0]);
  }

  /** An orderly shutdown: its init runs the scripts of runlevel 0, then ends all, and the namespaces with it. */
  async powerOff(): Promise<void> {
    const outer = this.#outer;
    if (outer === undefined) return;
    const ended = once(outer, 'exit');
    await this.run('poweroff');
    const limit = setTimeout(() => outer.kill('SIGKILL'), downWithinMs);
    await ended;
    clearTimeout(limit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#outer !== undefined && this.#outer.exitCode === null && this.#outer.signalCode === null) {
      this.#outer.kill('SIGKILL');
      await once(this.#outer, 'exit');
    }
    rmSync(this.#root, { recursive: true, force: true });
  }
}
