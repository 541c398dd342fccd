/**
 * Servers beside a QEMU, each for one machine in a jail of its own, joined to it by one connection: how their runs are named, and what they
 * are told. The manager makes the words; the broker makes them again, and takes no others.
 */

/** No machine has a name that begins so. */
export const tpmJobPrefix = 'qward-tpm-';
export const shareJobPrefix = 'qward-fs-';
/** Of whatever is joined to one QEMU: network helpers too. */
export const helperJobPattern = /^qward-(?:net|tpm|fs)-[a-z0-9]{12,32}$/;

/**
 * swtpm(8): a TPM 2.0 whose state lies in the directory, driven over descriptor 3, ended with it.
 * SECURITY: promise 2. In the foreground; its own filter, which kills it, on top of the jail's.
 */
export const swtpmArguments = (directory: string): readonly string[] => [
  ...'socket --tpm2 --ctrl type=unixio,clientfd=3 --terminate --seccomp action=kill --tpmstate'.split(' '),
  `dir=${directory},mode=0600`,
];

/** What virtiofsd has in its own user namespace until it serves; the thread of RCU that its library makes before keeps it. */
export const shareCapabilities = ['setpcap', 'sys_chroot'] as const;
const shareWords = `-all,${shareCapabilities.map((name) => `+${name}`).join(',')}`;
/**
 * SECURITY: promise 2. In the jail virtiofsd is root of a user namespace in which its own uid is the only one (user_namespaces(7)), so that a
 * guest's user that is not root is nobody that it could be. It begins with two capabilities there, and gives them away before it serves.
 */
export const shareBeginner: readonly string[] = [
  '/usr/bin/unshare --user --map-root-user -- /usr/bin/setpriv',
  `--inh-caps -all --bounding-set ${shareWords} --`,
].flatMap((line) => line.split(' '));

const without = 'chown dac_override fowner fsetid setgid setuid mknod setfcap'
  .split(' ')
  .map((name) => `-${name}`)
  .join(':');

/**
 * virtiofsd(1) of QEMU 7.2: the files of a folder, for who connects to descriptor 3. Its jail is the sandbox; it goes into the folder by chroot on
 * top, and its own filter comes on top of the jail's.
 */
export const virtiofsdArguments = (folder: string): readonly string[] =>
  [
    '--fd=3 -f --rlimit-nofile=0 -o sandbox=chroot,log_level=warn,cache=auto,no_xattr,no_posix_lock,no_flock',
    `-o modcaps=${without} -o`,
  ]
    .flatMap((line) => line.split(' '))
    .concat(`source=${folder}`);
