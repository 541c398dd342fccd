/** For what always comes, only not at a time of ours: a host may stand still for a minute, its disk too. */
export const patienceMs = 90_000;
