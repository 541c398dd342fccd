import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { ConsoleNotice } from '../../api/contract.ts';
import { Console, type ConsoleClient } from './console.ts';
import type { ScrollBack } from './scroll-back.ts';

/** A store in memory, as far as the console uses it. */
function memoryStore(kept = '', lost = 0): ScrollBack {
  let output = Buffer.from(kept);
  return {
    append: (bytes: Buffer) => {
      output = Buffer.concat([output, bytes]);
      return true;
    },
    read: async () => ({ output, lost }),
    get end() {
      return lost + output.length;
    },
    flush: async () => undefined,
    close: async () => undefined,
  } as unknown as ScrollBack;
}

class Guest extends Duplex {
  typed = '';
  override _read(): void {}
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.typed += chunk.toString();
    done();
  }
}

function setup(store = memoryStore()) {
  const guest = new Guest();
  const console = new Console(store);
  console.connectGuest(guest as unknown as Socket);
  return { console, guest, print: (text: string) => guest.emit('data', Buffer.from(text)) };
}

class Client implements ConsoleClient {
  readonly user: string;
  shown = '';
  closed = false;
  waiting = 0;
  readonly notices: ConsoleNotice[] = [];
  constructor(user: string) {
    this.user = user;
  }
  readonly unsent = () => this.waiting;
  readonly send = (bytes: Buffer) => {
    this.shown += bytes.toString();
  };
  readonly notice = (notice: ConsoleNotice) => {
    this.notices.push(notice);
  };
  readonly close = () => {
    this.closed = true;
  };
}

const watch = { write: false, steal: false, replay: false };
const write = { ...watch, write: true };
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('several clients see the same output', () => {
  const { console, print } = setup();
  const [one, two] = [new Client('one'), new Client('two')];
  console.attach(one, watch);
  console.attach(two, write);
  print('hello');
  assert.deepEqual([one.shown, two.shown], ['hello', 'hello']);
});

test('the scroll-back comes first, and output that arrives meanwhile comes after it', async () => {
  const { console, print } = setup(memoryStore('before ', 12));
  const client = new Client('one');
  console.attach(client, { ...watch, replay: true });
  print('after');
  assert.equal(client.shown, '');
  await turn();
  assert.match(client.shown, /^before (after)?after$/);
  assert.deepEqual(
    client.notices.map(({ notice }) => notice),
    ['attached', 'lost', 'replayed'],
  );
});

test('a client that was there before goes on where it was, and is told what is not kept any more', async () => {
  const { console, print } = setup(memoryStore('of before', 12));
  const offsets = async (from: number): Promise<readonly unknown[]> => {
    const client = new Client('one');
    console.attach(client, { ...watch, replay: true, from });
    await turn();
    return [client.shown, ...client.notices.map(({ notice, offset }) => [notice, offset])];
  };
  assert.deepEqual(await offsets(15), ['before', ['attached', 15], ['replayed', undefined]]);
  assert.deepEqual(await offsets(5), ['of before', ['attached', 5], ['lost', 12], ['replayed', undefined]]);
  assert.deepEqual(await offsets(21), ['', ['attached', 21]]);
  // The disk did not have all of it when the manager was killed.
  assert.deepEqual(await offsets(99), ['', ['attached', 21]]);
  print('more');
  assert.deepEqual(await offsets(21), ['more', ['attached', 21], ['replayed', undefined]]);
});

test('one client writes; a second is refused with the name of the first', () => {
  const { console, guest } = setup();
  const first = console.attach(new Client('anna'), write);
  const second = console.attach(new Client('bert'), write);
  assert.ok(first.ok && !second.ok);
  assert.equal(second.faults[0]?.code, 'console-busy');
  assert.match(second.faults[0].message, /anna/);
  first.value.type(Buffer.from('ls'));
  assert.equal(guest.typed, 'ls');
  assert.equal(console.writer, 'anna');
});

test('steal makes the first a watcher that is told, and whose typing is ignored', () => {
  const { console, guest } = setup();
  const anna = new Client('anna');
  const first = console.attach(anna, write);
  const second = console.attach(new Client('bert'), { ...write, steal: true });
  assert.ok(first.ok && second.ok);
  assert.deepEqual(anna.notices.at(-1)?.notice, 'writer-taken');
  first.value.type(Buffer.from('no'));
  second.value.type(Buffer.from('yes'));
  assert.equal(guest.typed, 'yes');
});

test('a watcher types in vain, and the right to write is free when the writer leaves', () => {
  const { console, guest } = setup();
  const watcher = console.attach(new Client('anna'), watch);
  const writer = console.attach(new Client('bert'), write);
  assert.ok(watcher.ok && writer.ok);
  watcher.value.type(Buffer.from('x'));
  writer.value.leave();
  writer.value.type(Buffer.from('y'));
  assert.equal(guest.typed, '');
  assert.equal(console.writer, null);
});

test('a client that does not read misses output, is told how much, and goes on', () => {
  const { console, print } = setup();
  const client = new Client('slow');
  console.attach(client, watch);
  client.waiting = 300 * 1024;
  print('missed');
  client.waiting = 0;
  print('seen');
  assert.equal(client.shown, 'seen');
  assert.match(client.notices.at(-1)?.message ?? '', /^6 bytes/);
});

test('when the machine stops every client is told and closed', async () => {
  const { console } = setup();
  const client = new Client('one');
  console.attach(client, write);
  await console.end('the machine stopped');
  assert.equal(client.notices.at(-1)?.notice, 'ended');
  assert.equal(client.closed, true);
  assert.equal(console.writer, null);
});
