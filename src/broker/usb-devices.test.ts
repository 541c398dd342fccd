/** Which node is opened for a machine, by directories that look like /sys and /dev. A real node is opened in the lab. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { openUsbDevice } from './usb-devices.ts';

const root = mkdtempSync(join(tmpdir(), 'qward-usb-'));
after(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** As sysfs of Linux 6.1 has it; `node` is made as a file, which is no device. */
function device(port: string, number: number, id: string, more: Readonly<Record<string, string>> = {}): void {
  const [idVendor = '', idProduct = ''] = id.split(':');
  const files = { busnum: '1', devnum: String(number), dev: `189:${number - 1}`, bDeviceClass: '00' };
  for (const [file, text] of Object.entries({ ...files, idVendor, idProduct, ...more }))
    put(`sys/bus/usb/devices/${port}/${file}`, `${text}\n`);
  put(`dev/bus/usb/001/00${number}`, 'what no machine reads');
}

device('1-1', 2, '1d6b:0104', { bDeviceClass: '09' });
device('1-1.2', 3, '046d:c52b');
device('1-1.4', 4, '0781:5581');
device('1-2', 5, '0781:5581');
device('usb1', 1, '1d6b:0002', { bDeviceClass: '09' });
device('1-1.2:1.0', 9, '046d:c52b');

const open = (wanted: string): string => {
  const opened = openUsbDevice(wanted, () => [], root);
  assert.ok(typeof opened !== 'number', `${wanted} was opened`);
  return `${opened.code}: ${opened.message}`;
};

test('what is not there, and what is no name of a device, is not found', () => {
  for (const wanted of [
    'dead:beef',
    '1-3',
    'usb1',
    '1-1.2:1.0',
    '../1-1.2',
    '1-1.2/',
    '',
    '.',
    '1-1.2/../1-2',
  ])
    assert.match(open(wanted), /^file-missing: USB device .* is not there$/, wanted);
});

test('a hub is nobody’s, and of two devices of one kind neither is the one', () => {
  assert.match(open('1-1'), /^broker-refused: USB device 1-1 is a hub/);
  assert.match(open('1d6b:0104'), /is a hub/);
  assert.match(open('0781:5581'), /^broker-refused: .* is at each of the ports 1-1\.4, 1-2$/);
});

test('what is at the place of the node and is not that device is closed again', () => {
  const before = readdirSync('/proc/self/fd').length;
  assert.match(open('046d:c52b'), /^broker-refused: .* is not what \/dev\/bus\/usb\/001\/003 is$/);
  assert.match(open('1-2'), /is not what \/dev\/bus\/usb\/001\/005 is$/);
  rmSync(join(root, 'dev/bus/usb/001/003'));
  symlinkSync('/dev/null', join(root, 'dev/bus/usb/001/003'));
  assert.match(
    open('1-1.2'),
    /^file-unreadable: .* cannot be opened at \/dev\/bus\/usb\/001\/003 \(ELOOP\)$/,
  );
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
