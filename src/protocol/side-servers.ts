/**
 * Servers beside a QEMU, each for one machine in a jail of its own, joined to it by one connection: how their runs are named, and what they
 * are told. The manager makes the words; the broker makes them again, and takes no others.
 */

/** No machine has a name that begins so. */
export const sideJobPrefix = 'qward-tpm-';
/** Of whatever is joined to one QEMU: network helpers too. */
export const helperJobPattern = /^qward-(?:net|tpm)-[a-z0-9]{12,32}$/;

/**
 * swtpm(8): a TPM 2.0 whose state lies in the directory, driven over descriptor 3, ended with it.
 * SECURITY: promise 2. In the foreground; its own filter, which kills it, on top of the jail's.
 */
export const swtpmArguments = (directory: string): readonly string[] => [
  ...'socket --tpm2 --ctrl type=unixio,clientfd=3 --terminate --seccomp action=kill --tpmstate'.split(' '),
  `dir=${directory},mode=0600`,
];
