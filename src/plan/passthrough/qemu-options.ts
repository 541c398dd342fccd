/** Words of QEMU's command line as options: which take a value, and where each stands. */

export interface QemuOption {
  /** Without dashes. */
  readonly name: string;
  /** Empty where the option takes none; null where it takes one and there is none. */
  readonly value: string | null;
  /** Of the option among the words. */
  readonly index: number;
}

/** The options of QEMU 7 to 11 that take no value (qemu-options.hx); all others take one. */
export const withoutValue: ReadonlySet<string> = new Set(
  'h help version S s nodefaults no-user-config nodefconfig nographic portrait full-screen no-frame alt-grab ctrl-grab no-quit no-acpi no-hpet no-fd-bootchk win2k-hack rtc-td-hack enable-kvm no-kvm no-kvm-irqchip no-kvm-pit no-kvm-pit-reinjection enable-fips no-reboot no-shutdown snapshot usb daemonize mem-prealloc only-migratable singlestep one-insn-per-tb preconfig async-teardown enable-sync-profile semihosting old-param xen-attach xen-domid-restrict sdl curses audio-help perfmap jitdump'.split(
    ' ',
  ),
);

/** A word that is no option is a disk image (`qemu disk.img`). */
export function readOptions(words: readonly string[]): readonly QemuOption[] {
  const options: QemuOption[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    const name = /^--?(.+)$/s.exec(word)?.[1];
    if (name === undefined) options.push({ name: 'hda', value: word, index });
    else if (withoutValue.has(name)) options.push({ name, value: '', index });
    else {
      options.push({ name, value: words[index + 1] ?? null, index });
      index += 1;
    }
  }
  return options;
}
