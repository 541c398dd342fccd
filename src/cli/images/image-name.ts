/** What images and those who log in may be called. */

/** Also the name of a file: no "/", and none that is hidden. */
export const imageName = /^[a-z0-9][a-z0-9.-]{0,62}$/;
export const imageNameExpected =
  'a name of lower-case letters, digits, "-" and ".", 63 characters at most, beginning with a letter or digit';

/** As useradd(8) takes it. */
export const loginName = /^[a-z_][a-z0-9_-]{0,31}$/;
