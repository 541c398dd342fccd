import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { createCrowd } from './crowd.ts';

const sockets = (count: number): Socket[] => Array.from({ length: count }, () => new Socket());

test('a user has so many connections and no more; one that leaves makes room', () => {
  const crowd = createCrowd({ ofUser: 2, ofAll: 10 });
  const [one, two, three, other] = sockets(4) as [Socket, Socket, Socket, Socket];
  assert.deepEqual(
    [one, two, three].map((socket) => crowd.enter(socket, 1)),
    [true, true, false],
  );
  assert.equal(crowd.enter(other, 2), true);
  crowd.asked(one);
  assert.equal(crowd.enter(three, 1), false, 'who is being answered still counts');
  crowd.leave(one);
  assert.equal(crowd.enter(three, 1), true);
});

test('when it is full, who has been silent longest goes, and nobody who has asked', () => {
  const crowd = createCrowd({ ofUser: 1, ofAll: 3 });
  const [one, two, three, four, five] = sockets(5) as [Socket, Socket, Socket, Socket, Socket];
  for (const [uid, socket] of [one, two, three].entries()) assert.ok(crowd.enter(socket, uid));
  crowd.asked(one);
  assert.ok(crowd.enter(four, 10));
  assert.deepEqual(
    [one, two, three].map(({ destroyed }) => destroyed),
    [false, true, false],
  );
  for (const socket of [three, four]) crowd.asked(socket);
  assert.equal(crowd.enter(five, 11), false, 'all of them are being answered');
});
