import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClaimLine } from './claim-line.ts';

const at = '2026-03-01T10:00:00.000Z';
const line = (more: string): string => `{"at":"${at}",${more}`;

test('who, what and whether come before what the user chose, and the rest as it stands', () => {
  const head = '"call":"claim","machine":"web","uid":1000,"pid":7,"ok":true';
  assert.deepEqual(parseClaimLine(line(`${head},"files":[{"path":"/home/x","access":"rw"}]}`)), {
    at,
    uid: 1000,
    call: 'claim',
    machine: 'web',
    ok: true,
    details: '"files":[{"path":"/home/x","access":"rw"}]',
  });
  const cut = parseClaimLine(line(`${head},"files":[{"path":"/home/very`));
  assert.deepEqual([cut?.uid, cut?.ok, cut?.details], [1000, true, '"files":[{"path":"/home/very']);
});

test('a path that looks like other fields is a path', () => {
  const path = JSON.stringify('/x","ok":false,"uid":0,"machine":"db').slice(1, -1);
  const head = '"call":"claim","machine":"web","uid":1000,"pid":7,"ok":true';
  const entry = parseClaimLine(line(`${head},"files":[{"path":"${path}","access":"rw"}]}`));
  assert.deepEqual([entry?.uid, entry?.machine, entry?.ok], [1000, 'web', true]);
});

test('what was no request is told as refused; what is no line is left out', () => {
  const entry = parseClaimLine(line('"refused":"protocol","uid":1000,"pid":7,"why":"JSON"}'));
  assert.deepEqual(
    [entry?.call, entry?.ok, entry?.uid, entry?.details],
    ['refused', false, 1000, 'protocol'],
  );
  for (const nothing of ['', '{', 'at', '{"at":"never","call":"claim"}'])
    assert.equal(parseClaimLine(nothing), undefined);
});
