/** How others name USB devices of the host. */
export interface UsbNames {
  /** Hexadecimal, with or without 0x. */
  readonly vendor?: string | undefined;
  readonly product?: string | undefined;
  /** A number, decimal, or hexadecimal with 0x. */
  readonly bus?: string | undefined;
  /** Ports from the controller on: `4.2`. */
  readonly port?: string | undefined;
}

/** `046d:c52b`, or `1-4.2`; undefined where neither is said. */
export function hostUsb({ vendor, product, bus, port }: UsbNames): string | undefined {
  const [first, second] = [vendor, product].map((text) =>
    /^(?:0x)?([0-9a-f]{1,4})$/i
      .exec(text ?? '')?.[1]
      ?.toLowerCase()
      .padStart(4, '0'),
  );
  if (first !== undefined && second !== undefined) return `${first}:${second}`;
  if (!/^(?:0x[0-9a-f]{1,2}|\d{1,3})$/i.test(bus ?? '') || !/^\d{1,3}(?:\.\d{1,3}){0,5}$/.test(port ?? ''))
    return undefined;
  return `${Number(bus)}-${port}`;
}

export const noLastingUsb =
  'the number of a USB device on its bus is another one each time it is plugged in: name it by vendor and product, or by its port, in `hostDevices`';
