/** Names of the errnos that probes meet (errno(3), x86-64). */
const names: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  3: 'ESRCH',
  5: 'EIO',
  6: 'ENXIO',
  9: 'EBADF',
  10: 'ECHILD',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  18: 'EXDEV',
  19: 'ENODEV',
  20: 'ENOTDIR',
  22: 'EINVAL',
  24: 'EMFILE',
  25: 'ENOTTY',
  27: 'EFBIG',
  28: 'ENOSPC',
  30: 'EROFS',
  38: 'ENOSYS',
  40: 'ELOOP',
  61: 'ENODATA',
  87: 'EUSERS',
  93: 'EPROTONOSUPPORT',
  94: 'ESOCKTNOSUPPORT',
  95: 'EOPNOTSUPP',
  97: 'EAFNOSUPPORT',
  111: 'ECONNREFUSED',
  116: 'ESTALE',
  126: 'ENOKEY',
  128: 'EKEYREVOKED',
};

/** `result`: what a system call returned, negative. */
export function errnoName(result: number): string {
  return names[-result] ?? `errno ${-result}`;
}
