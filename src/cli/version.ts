/** The version of this program; a test holds it against package.json. */
export const qwardVersion = '0.1.0';
