/** Which USB devices are the user's, by directories that look like /sys and /dev. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ownUsbCheck, ownUsbDevices } from './own-usb.ts';

test('devices that the user may open are told apart from those that an administrator would have to give', () => {
  const root = mkdtempSync(join(tmpdir(), 'qward-usb-'));
  const put = (path: string, text: string, mode = 0o644): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode });
    chmodSync(join(root, path), mode);
  };
  const device = (name: string, number: number, files: Readonly<Record<string, string>>): void => {
    const all = { busnum: '1', devnum: String(number), bDeviceClass: '00', ...files };
    for (const [file, text] of Object.entries(all)) put(`sys/bus/usb/devices/${name}/${file}`, `${text}\n`);
  };
  try {
    assert.deepEqual(ownUsbCheck(ownUsbDevices(root), 'alice'), {
      check: 'USB devices',
      state: 'ok',
      found: 'none on this host',
      cure: '',
    });
    device('1-1', 2, { idVendor: '0781', idProduct: '5581', manufacturer: 'SanDisk', product: 'Ultra' });
    device('1-2', 3, { idVendor: '046d', idProduct: 'c52b' });
    device('1-3', 4, { idVendor: '1d6b', idProduct: '0002', bDeviceClass: '09' });
    device('usb1', 1, { idVendor: '1d6b', idProduct: '0002' });
    device('1-1:1.0', 9, { idVendor: 'ffff', idProduct: 'ffff' });
    put('dev/bus/usb/001/002', '', 0o600);
    // Root opens whatever there is: a node that is not there is nobody's.
    const check = ownUsbCheck(ownUsbDevices(root), 'alice');
    assert.equal(check.state, 'degraded');
    assert.equal(
      check.found,
      'yours to open: SanDisk Ultra 0781:5581 /dev/bus/usb/001/002; not yours: 046d:c52b /dev/bus/usb/001/003',
    );
    assert.match(
      check.cure,
      /ATTR\{idVendor\}=="046d", ATTR\{idProduct\}=="c52b", MODE="0660", GROUP="alice"/,
    );
    put('dev/bus/usb/001/003', '', 0o600);
    assert.equal(ownUsbCheck(ownUsbDevices(root), 'alice').state, 'ok');
  } finally {
    rmSync(root, { recursive: true });
  }
});
