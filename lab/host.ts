/**
 * A disposable Debian host in a virtual machine: systemd, cgroup v2 alone, AppArmor, and a working /dev/kvm (QEMU's translator
 * emulates SVM). Made from the lab's image with an overlay of its own, so that it can be booted again and again.
 *   await using host = LabHost.create(image, { payload });
 *   await host.boot();
 *   const { status, output } = await host.run('systemctl is-system-running');
 *   await host.powerOff();
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabImage } from './image.ts';

export interface HostOptions {
  /** A directory whose files are in /lab of the host. */
  readonly payload?: string;
  readonly memoryMib?: number;
  /** Size of its disk, where the recipe's is too small; its file system grows at the first boot. */
  readonly diskMib?: number;
  /** Parameters of the kernel beside those of every host. */
  readonly parameters?: string;
  /** With an NVMe disk in an IOMMU group of its own, for a machine of the host's. */
  readonly spareDisk?: boolean;
  /** With a USB stick, which can be pulled out: its serial number is `qward-lab`, it is `46f4:0001` at port `1-2` or `2-2`. */
  readonly usbStick?: boolean;
}

/** What the stick begins with. */
export const stickText = 'a stick of the lab';

export interface ScriptOutcome {
  readonly status: number;
  /** Standard output and error. */
  readonly output: string;
}

const stick = { id: 'stick', device: 'usb-storage,id=stick,drive=stick,serial=qward-lab,bus=usb.0,port=2' };

const bootLimitMs = 600_000;
const powerOffLimitMs = 180_000;

export class LabHost implements AsyncDisposable {
  readonly #directory: string;
  readonly #image: LabImage;
  readonly #options: HostOptions;
  #boot: LabBoot | undefined;

  private constructor(directory: string, image: LabImage, options: HostOptions) {
    this.#directory = directory;
    this.#image = image;
    this.#options = options;
  }

  static create(image: LabImage, options: HostOptions = {}): LabHost {
    const directory = mkdtempSync(join(tmpdir(), 'qward-lab-'));
    const host = new LabHost(directory, image, options);
    const overlay = ['create', '-q', '-f', 'qcow2', '-b', image.disk, '-F', 'raw', host.#path('disk.qcow2')];
    const size = options.diskMib === undefined ? [] : [`${options.diskMib}M`];
    execFileSync('qemu-img', [...overlay, ...size], { stdio: 'pipe' });
    if (options.spareDisk === true) writeFileSync(host.#path('spare.raw'), Buffer.alloc(64 * 1024 * 1024));
    if (options.usbStick === true) {
      const stick = Buffer.alloc(8 * 1024 * 1024);
      stick.write(stickText);
      writeFileSync(host.#path('stick.raw'), stick);
    }
    if (options.payload !== undefined)
      execFileSync('tar', ['-C', options.payload, '-cf', host.#path('payload.tar'), '.'], { stdio: 'pipe' });
    return host;
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  /** Runs a bash script as root in the host that is up; one at a time. Past the limit the host is ended. */
  run(script: string, limitMs?: number): Promise<ScriptOutcome> {
    return this.#up().run(script, limitMs);
  }

  /** The output of a script that must succeed. */
  async demand(script: string, limitMs?: number): Promise<string> {
    const { status, output } = await this.run(script, limitMs);
    if (status !== 0) throw new Error(`status ${status} in the lab's host:\n${script}\n${output}`);
    return output;
  }

  /** Pulls the stick out. */
  async unplug(): Promise<void> {
    await this.#tellQemu(`device_del ${stick.id}`);
  }

  /** Plugs the stick in. */
  async plug(): Promise<void> {
    await this.#tellQemu(`device_add ${stick.device}`);
  }

  /** Of QEMU's monitor, which answers with what went wrong. */
  async #tellQemu(command: string): Promise<void> {
    const socket = connect(this.#path('monitor'));
    let said = '';
    for await (const piece of socket) {
      const before = said.split('(qemu) ').length;
      said += String(piece);
      const prompts = said.split('(qemu) ').length;
      if (before < 2 && prompts >= 2) socket.write(`${command}\n`);
      if (prompts >= 3) break;
    }
    if (/Error/.test(said)) throw new Error(`QEMU of the lab's host: ${said}`);
  }

  /** An orderly shutdown, as an administrator does it. Gives how long it took, milliseconds. */
  powerOff(): Promise<number> {
    return this.#up().powerOff();
  }

  /** An orderly shutdown, and the next boot. */
  async reboot(): Promise<void> {
    await this.powerOff();
    await this.boot();
  }

  #up(): LabBoot {
    if (this.#boot === undefined) throw new Error('the host was not booted');
    return this.#boot;
  }

  /** Boots until the agent answers. Its disk is as the last boot left it. */
  async boot(): Promise<void> {
    const port = createServer();
    port.listen(this.#path('port'));
    await once(port, 'listening');
    const log = openSync(this.#path('serial.log'), 'w');
    const child = spawn('qemu-system-x86_64', this.#arguments(), { stdio: ['ignore', log, log] });
    closeSync(log);
    const boot = new LabBoot(child, () => readFileSync(this.#path('serial.log'), 'latin1'));
    this.#boot = boot;
    const connected = new Promise<Socket>((resolve) => {
      port.once('connection', resolve);
    });
    try {
      const socket = await Promise.race([connected, boot.unexpectedEnd()]);
      port.close();
      await boot.attach(socket);
      if (this.#options.diskMib !== undefined) await this.demand('resize2fs /dev/vda');
      if (this.#options.payload !== undefined)
        await this.demand('mkdir -p /lab && tar -C /lab -xf /dev/vdb --no-same-owner');
    } catch (error) {
      await boot[Symbol.asyncDispose]();
      throw error;
    }
  }

  #arguments(): string[] {
    const payload = this.#options.payload === undefined ? [] : this.#drive('payload.tar', 'raw', true);
    const options = [
      `-accel tcg,thread=multi -smp 2 -m ${this.#options.memoryMib ?? 2048} -cpu max -nodefaults -no-user-config -no-reboot`,
      '-display none -serial stdio',
      // Interrupts of a device that is passed on are remapped, which the machine must leave to its user space.
      this.#options.spareDisk === true
        ? '-machine q35,kernel-irqchip=split -device intel-iommu,intremap=on,caching-mode=on'
        : '-machine q35 -device intel-iommu,intremap=off,caching-mode=on',
      '-device virtio-rng-pci -device virtio-serial-pci -device virtserialport,chardev=lab,name=lab',
    ];
    return [
      ...options.join(' ').split(' '),
      '-chardev',
      `socket,id=lab,path=${this.#path('port')}`,
      '-kernel',
      this.#image.kernel,
      '-initrd',
      this.#image.initrd,
      '-append',
      `root=/dev/vda rw console=ttyS0 quiet intel_iommu=on no_timer_check panic=1 ${this.#options.parameters ?? ''}`,
      ...this.#drive('disk.qcow2', 'qcow2', false),
      ...payload,
      ...(this.#options.spareDisk === true ? this.#spareDisk() : []),
      ...(this.#options.usbStick === true ? this.#usbStick() : []),
    ];
  }

  #usbStick(): string[] {
    const image = `driver=raw,node-name=stick,file.driver=file,file.filename=${this.#path('stick.raw')}`;
    const monitor = `unix:${this.#path('monitor')},server=on,wait=off`;
    return ['-device', 'qemu-xhci,id=usb', '-blockdev', image, '-device', stick.device, '-monitor', monitor];
  }

  #spareDisk(): string[] {
    const drive = `if=none,id=spare,format=raw,cache=unsafe,file=${this.#path('spare.raw')}`;
    return ['-drive', drive, '-device', 'nvme,drive=spare,serial=lab,addr=0x10'];
  }

  #drive(file: string, format: string, readonly: boolean): string[] {
    const options = `if=virtio,cache=unsafe,format=${format},readonly=${readonly ? 'on' : 'off'}`;
    return ['-drive', `file=${this.#path(file)},${options}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#boot?.[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** One boot of the host. */
class LabBoot implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #serialLog: () => string;
  readonly #ended: Promise<string>;
  #socket: Socket | undefined;
  #lines: AsyncIterator<string> | undefined;
  #scripts = 0;
  /** What was not done within its limit, so that the host was ended. */
  #overdue: string | undefined;

  constructor(child: ChildProcess, serialLog: () => string) {
    this.#child = child;
    this.#serialLog = serialLog;
    this.#ended = new Promise((resolve) => {
      child.once('close', (status, signal) => resolve(signal ?? `status ${status}`));
    });
  }

  /** Rejects when QEMU ends. */
  async unexpectedEnd(): Promise<never> {
    const how = await this.#ended;
    const why = this.#overdue === undefined ? '' : ` after ${this.#overdue}`;
    throw new Error(`the lab's host ended by ${how}${why}\n${this.#serialLog().slice(-3000)}`);
  }

  #endAfter(limitMs: number, what: string): NodeJS.Timeout {
    return setTimeout(() => {
      this.#overdue = `${limitMs / 1000} s in which this was not done:\n${what}`;
      this.#child.kill('SIGKILL');
    }, limitMs);
  }

  async attach(socket: Socket): Promise<void> {
    this.#socket = socket;
    this.#lines = linesOf(socket);
    const limit = this.#endAfter(bootLimitMs, 'its boot');
    const ready = await this.#line();
    clearTimeout(limit);
    if (!ready.startsWith('ready ')) throw new Error(`the agent said ${JSON.stringify(ready.slice(0, 200))}`);
  }

  async #line(): Promise<string> {
    const next = await this.#lines?.next();
    if (next === undefined || next.done === true) return await this.unexpectedEnd();
    return next.value;
  }

  async run(script: string, limitMs = 300_000): Promise<ScriptOutcome> {
    const id = String(++this.#scripts);
    const limit = this.#endAfter(limitMs, script);
    this.#socket?.write(`${id} ${Buffer.from(script).toString('base64')}\n`);
    try {
      const [answered, status, output = ''] = (await this.#line()).split(' ');
      if (answered !== id) throw new Error(`the agent answered ${answered} in place of ${id}`);
      return { status: Number(status), output: Buffer.from(output, 'base64').toString('utf8') };
    } finally {
      clearTimeout(limit);
    }
  }

  async powerOff(): Promise<number> {
    const started = performance.now();
    this.#socket?.write(`off ${Buffer.from('/sbin/poweroff').toString('base64')}\n`);
    const limit = this.#endAfter(powerOffLimitMs, 'its shutdown');
    await this.#ended;
    clearTimeout(limit);
    if (this.#overdue !== undefined) await this.unexpectedEnd();
    return performance.now() - started;
  }

  /** As if the power failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    this.#socket?.destroy();
    await this.#ended;
  }
}

async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of socket) {
    rest += String(piece);
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      yield rest.slice(0, end).trimEnd();
      rest = rest.slice(end + 1);
    }
  }
}
