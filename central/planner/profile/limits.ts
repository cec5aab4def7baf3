/** Most blocks of a profile. */
export const MAX_BLOCKS = 4096;

/** Most layers of a profile. */
export const MAX_LAYERS = 65_536;

/** Most runs of several blocks at one node of a profile. */
export const MAX_RUNS = 4096;
