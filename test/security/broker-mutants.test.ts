/**
 * Promise 1 by a generator: mutated requests of every call, at the parser and the policy, and at a running broker, each on a
 * connection of its own as the protocol has it, and those too that announce more than they carry. It holds afterwards what it held
 * before. Needs root.
 */
import assert from 'node:assert/strict';
import { chownSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { parseClaimRequest } from '../../src/broker/parse-claims.ts';
import { parseRequest } from '../../src/broker/parse.ts';
import { ValueFaults } from '../../src/protocol/values.ts';
import { admit } from '../../src/policy/admit.ts';
import { decideClaim } from '../../src/policy/claim-rules.ts';
import { rootsOf } from '../../src/policy/file-rules.ts';
import { defaultPolicy } from '../../src/policy/policy.ts';
import { encodeFrame, FrameReader, maxRequestBytes } from '../../src/protocol/frame.ts';
import { machineNamePattern, type LaunchRequest } from '../../src/protocol/launch.ts';
import { exchange, startTestBroker } from '../support/broker.ts';
import { footprintOf, logLines, memoryOf, timesRefused } from '../support/broker-footprint.ts';
import { mutantFrames } from '../support/mutants.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { sampleClaimRequests, sampleRequests } from '../support/sample-requests.ts';
import { testLaunch } from '../support/test-launch.ts';

const images = '/var/lib/qward/images';
const mutants = 50_000;
/** At each of the two sockets. */
const overSocket = mutants / 2;

before(() => enterOwnNetwork());

/** What the parser made of a frame; undefined where it refused it in the one way that ends a connection. */
function parsed<T>(frame: Buffer, parse: (body: Buffer) => T): T | undefined {
  try {
    const body = new FrameReader(maxRequestBytes).push(frame);
    return body === undefined ? undefined : parse(body);
  } catch (error) {
    assert.ok(error instanceof ValueFaults || error instanceof RangeError, String(error));
    return undefined;
  }
}

/** What holds for every launch that the policy of defaults lets through. */
function assertWithin(launch: LaunchRequest): void {
  assert.match(launch.machine, machineNamePattern);
  assert.ok(
    ['/usr/bin/qemu-system-x86_64', '/usr/bin/qemu-img', '/usr/libexec/qward-drill'].includes(launch.binary),
  );
  for (const descriptor of launch.descriptors) {
    assert.notEqual(descriptor.kind, 'tap', 'no bridge is listed');
    if (descriptor.kind !== 'file') continue;
    assert.equal(descriptor.claimant, null, 'nobody has claimed anything');
    assert.ok(
      descriptor.path.startsWith(`${images}/`) && !/\/\.\.?(?:\/|$)|\0/.test(descriptor.path),
      descriptor.path,
    );
  }
  for (const { source, target } of launch.root)
    for (const path of [source, target])
      assert.ok(path.startsWith('/usr/') && !/\/\.\.?(?:\/|$)/.test(path), path);
}

/** A launch with a part of each kind; few files, so that mutations meet the rest too. */
async function fullLaunch(images: string): Promise<LaunchRequest> {
  const launch = await testLaunch('one', [
    { kind: 'file', path: `${images}/disk`, access: 'ro', claimant: null, reopened: false },
    { kind: 'file', path: `${images}/disk`, access: 'rw', claimant: null, reopened: true },
    { kind: 'socket', name: 'console' },
  ]);
  return { ...launch, root: launch.root.slice(0, 4) };
}

test(`${mutants} mutants of requests are refused as no requests, or stay within what the policy gives`, async () => {
  const roots = rootsOf(defaultPolicy, { path: '/var/lib/qward/vars', ownedBy: 900 });
  const refusal = { code: 'policy-refused', message: 'nobody claimed it', hint: 'claim it' };
  let admitted = 0;
  let requests = 0;
  const property = fc.property(mutantFrames(sampleRequests(await fullLaunch(images), images)), (frame) => {
    const request = parsed(frame, parseRequest);
    if (request === undefined) return;
    requests += 1;
    assert.deepEqual(parseRequest(encodeFrame(request).subarray(4)), request, 'read again it is the same');
    if (request.call !== 'launch') return;
    const grounds = { policy: defaultPolicy, roots, claimantOf: () => refusal };
    if (admit(request.launch, grounds).length > 0) return;
    admitted += 1;
    assertWithin(request.launch);
  });
  fc.assert(property, { numRuns: mutants });
  // The generator is worth nothing where all or none of its mutants get through.
  assert.ok(requests > mutants / 50 && requests < mutants / 2, `${requests} requests`);
  assert.ok(admitted > 0, 'no launch was admitted');
});

test(`${mutants} mutants of claims are refused as no requests, or claim plain paths outside qward and the kernel`, () => {
  const grounds = {
    policy: defaultPolicy,
    roots: rootsOf(defaultPolicy, { path: '/var/lib/qward/vars', ownedBy: 900 }),
    own: ['/etc/qward', '/run/qward', '/var/lib/qward/broker', '/var/lib/qward/manager'],
  };
  const user = { name: 'anna', isIn: () => false };
  let claimed = 0;
  const property = fc.property(mutantFrames(sampleClaimRequests(images)), (frame) => {
    const request = parsed(frame, parseClaimRequest);
    if (request === undefined) return;
    assert.deepEqual(parseClaimRequest(encodeFrame(request).subarray(4)), request);
    if ('machine' in request && request.machine !== null) assert.match(request.machine, machineNamePattern);
    if (request.call !== 'claim') return;
    for (const file of request.files) {
      if (typeof decideClaim(file, user, grounds) !== 'string') continue;
      claimed += 1;
      assert.match(file.path, /^\/[^\u0000-\u001f\u007f]+$/);
      assert.doesNotMatch(
        file.path,
        /\/\.\.?(?:\/|$)|\/\/|^\/(?:proc|sys|dev|etc\/qward|run\/qward)(?:\/|$)/,
      );
    }
  });
  fc.assert(property, { numRuns: mutants });
  assert.ok(claimed > 0, 'no claim was decided for');
});

test(
  `${mutants} mutants at the sockets of a running broker, within a minute: it holds what it held, half a request is never answered, and each refusal is in its logs`,
  { timeout: 60_000 },
  async () => {
    await using broker = await startTestBroker();
    const disk = `${broker.images}/disk`;
    writeFileSync(disk, 'disk', { mode: 0o640 });
    chownSync(disk, 12_345, 54_321);
    const state = (): unknown => {
      const { uid, gid, mode, size, mtimeMs, ctimeMs } = statSync(disk);
      return [uid, gid, mode, size, mtimeMs, ctimeMs, readdirSync(broker.images)];
    };
    const [was, memory, files] = [footprintOf(broker), memoryOf(broker), state()];
    const requests = sampleRequests(await fullLaunch(broker.images), broker.images);
    const claims = sampleClaimRequests(broker.images);
    const { brokerSocket, claimsSocket } = broker.site.paths;
    const unanswered = { broker: 0, claims: 0 };
    for (const [log, path, samples] of [
      ['broker', brokerSocket, requests],
      ['claims', claimsSocket, claims],
    ] as const) {
      let cut = 0;
      // Never all of them in memory at once.
      for (let sent = 0; sent < overSocket; sent += 1000) {
        const ended = await sendAll(path, fc.sample(mutantFrames(samples), 1000));
        cut += ended.cut;
        unanswered[log] += ended.cut + ended.whole;
      }
      assert.ok(cut > overSocket / 200, `${cut} announced more than came`);
    }
    const status = await broker.ask<{ machines: { machine: string }[] }>({ v: 1, call: 'status' });
    assert.ok(status.ok);
    for (const { machine } of status.result.machines) await broker.ask({ v: 1, call: 'kill', machine });
    const now = footprintOf(broker);
    assert.deepEqual({ ...now, descriptors: 0 }, { ...was, descriptors: 0 });
    assert.ok(
      now.descriptors <= was.descriptors + 2,
      `${now.descriptors} descriptors, ${was.descriptors} before`,
    );
    assert.ok(memoryOf(broker) - memory < 128 * 1024 ** 2, `${memoryOf(broker) - memory} bytes more`);
    assert.deepEqual(state(), files);
    await broker.stop();
    for (const log of ['broker', 'claims'] as const) {
      const told = timesRefused(logLines(broker, log), ({ refused }) => refused !== undefined);
      assert.equal(told, unanswered[log], `${log}.log`);
    }
  },
);

/** Sends all of them, a few at once; gives how many of those that were whole, and of those that announced more than came, had no answer. */
async function sendAll(
  path: string,
  frames: readonly Buffer[],
): Promise<{ readonly whole: number; readonly cut: number }> {
  let [whole, cut] = [0, 0];
  const waiting = frames.values();
  const lane = async (): Promise<void> => {
    for (const frame of waiting) {
      const isWhole = frame.length >= 4 && frame.readUInt32BE(0) + 4 <= frame.length;
      if (isWhole) {
        const answer = await exchange(path, frame);
        if (answer === undefined) whole += 1;
      } else {
        // One without a byte says nothing.
        cut += frame.length > 0 ? 1 : 0;
        assert.equal(await sendAndEnd(path, frame), 0, 'half a request was answered');
      }
    }
  };
  await Promise.all(Array.from({ length: 12 }, lane));
  return { whole, cut };
}

/** Sends these bytes and says that no more come; gives how many came back before the connection was ended. */
function sendAndEnd(path: string, frame: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    let received = 0;
    socket.on('data', (piece: Buffer) => (received += piece.length));
    // Ended by the other side while it is written to.
    socket.on('error', (error: NodeJS.ErrnoException) =>
      ['EPIPE', 'ECONNRESET'].includes(error.code ?? '') ? resolve(received) : reject(error),
    );
    socket.on('end', () => socket.destroy());
    socket.on('close', () => resolve(received));
    socket.end(frame);
  });
}
