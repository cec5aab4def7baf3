/**
 * The highest epoch that a central claims or anybody believes. Epochs follow the clock in Unix seconds and rise by one
 * with each takeover, so no central comes near it; an `i_id` has room for 15 digits. Somebody who claims one above it
 * would otherwise leave nothing for any real central to claim.
 */
export const MAX_EPOCH = 1e14;
