/** Runs of the administrator's hooks: how they are named, and how each tells its end. */

/** No machine has a name that begins so. */
export const hookJobPrefix = 'qward-hook-';
export const hookJobPattern = /^qward-hook-[a-z0-9]{12,32}$/;

/** Where the hook stands in its jail. */
export const hookProgram = '/hook';

/** Arguments of a hook: the event and the machine's name. */
export const hookWord = /^[a-z][a-z0-9-]{0,62}$/;
export const maxHookWords = 4;

/**
 * Begins the last line of the hook's output, which the broker's shell writes after it: no kernel before 6.15 tells the exit
 * status of another's child. A line like it that is not the last is the hook's own, and counts for nothing.
 */
export const hookStatusMark = 'qward-hook: exit status';
