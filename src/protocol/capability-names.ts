/** Names of the capabilities by bit (linux/capability.h, Linux 6.18). */
export const capabilities: readonly string[] =
  'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore'.split(
    ' ',
  );

const bitOf = (name: string): bigint => 1n << BigInt(Math.max(0, capabilities.indexOf(name)));

/** The set of these capabilities, as /proc/PID/status has it. */
export function capabilitySet(wanted: readonly string[]): string {
  const bits = wanted.reduce((sum, name) => sum | bitOf(name), 0n);
  return bits.toString(16).padStart(16, '0');
}

/** The capabilities of a set as /proc/PID/status has it (hexadecimal). */
export function capabilityNames(set: string): string {
  const bits = /^[0-9a-f]{1,16}$/.test(set) ? BigInt(`0x${set}`) : undefined;
  if (bits === undefined) return `unreadable set "${set}"`;
  const found: string[] = [];
  for (let bit = 0; bit < 64; bit += 1)
    if ((bits >> BigInt(bit)) & 1n) found.push(capabilities[bit] ?? `bit ${bit}`);
  return found.length > 8 ? `${found.length} capabilities` : found.join(' ');
}

/** Those that are not in a set as /proc/PID/status has it, `CAP_NET_RAW CAP_SYSLOG`; empty: it has them all. */
export function lackingIn(set: string, wanted: readonly string[]): string {
  return wanted
    .filter((name) => (BigInt(`0x${set}`) & bitOf(name)) === 0n)
    .map((name) => `CAP_${name.toUpperCase()}`)
    .join(' ');
}

/** How the broker comes to have what its bounding set lacks. `unit`: it is a service of systemd (systemd.exec(5)). */
export function cureOfLack(lacking: string, unit: boolean): string {
  return unit
    ? `make /etc/systemd/system/qward-broker.service.d/capabilities.conf with the lines "[Service]" and "CapabilityBoundingSet=${lacking}"; then \`systemctl daemon-reload\` and \`systemctl restart qward-broker\``
    : `start the broker where root has ${lacking} in its bounding set: \`qward host down --leave-machines\`, then \`qward host up\` there`;
}
