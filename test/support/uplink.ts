/**
 * Two network namespaces as a host and the world beyond it: 192.0.2.2 and 192.0.2.1, the latter with a web page, a resolver's
 * port and a cloud's metadata address. No packet leaves them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createNetwork, type TestNetwork } from './network.ts';

export interface Uplink extends Disposable {
  readonly host: TestNetwork;
  readonly world: TestNetwork;
  /** A page at `port` of every address of the namespace. */
  readonly serve: (network: TestNetwork, port: number, page: string) => void;
  /** Runs a program in it until the uplink is gone. */
  readonly start: (network: TestNetwork, program: string, ...args: readonly string[]) => ChildProcess;
}

export async function createUplink(): Promise<Uplink> {
  const [host, world] = [await createNetwork(), await createNetwork()];
  const directory = mkdtempSync(join(tmpdir(), 'qward-uplink-'));
  const children: ChildProcess[] = [];
  const start: Uplink['start'] = (network, program, ...args) => {
    const child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'nsenter', `--net=${network.path}`, program, ...args],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    children.push(child);
    return child;
  };
  const pid = /^\/proc\/(\d+)\//.exec(world.path)?.[1] ?? '';
  host.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
  host.run('ip', 'link', 'set', 'up1', 'netns', pid);
  for (const [network, link, own] of [
    [host, 'up0', '2'],
    [world, 'up1', '1'],
  ] as const) {
    network.run('ip', 'link', 'set', 'lo', 'up');
    network.run('ip', 'address', 'add', `192.0.2.${own}/24`, 'dev', link);
    network.run('ip', 'address', 'add', `2001:db8::${own}/64`, 'dev', link, 'nodad');
    network.run('ip', 'link', 'set', link, 'up');
  }
  host.run('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
  host.run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8::1');
  // As systemd sets it: any user may ping (icmp(7)).
  host.run('sysctl', '-q', '-w', 'net.ipv4.ping_group_range=0 2147483647');
  world.run('ip', 'address', 'add', '169.254.169.254/32', 'dev', 'up1');
  // passt takes the link-local address of the interface, which the kernel gives some moments later.
  for (const giveUpAt = performance.now() + 10_000; performance.now() < giveUpAt; await delay(50))
    if (/inet6 fe80::\S+ scope link\s*$/m.test(host.run('ip', '-6', 'address', 'show', 'dev', 'up0'))) break;
  return {
    host,
    world,
    start,
    serve: (network, port, page) => {
      const site = mkdtempSync(join(directory, 'site-'));
      writeFileSync(join(site, 'index.html'), `${page}\n`);
      start(network, 'busybox', 'httpd', '-f', '-p', String(port), '-h', site);
    },
    [Symbol.dispose]: () => {
      for (const child of children) child.kill('SIGKILL');
      host[Symbol.dispose]();
      world[Symbol.dispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
