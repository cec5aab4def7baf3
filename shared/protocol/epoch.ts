/**
 * The highest valid epoch (the term of leader election). Epochs follow the clock in Unix seconds and rise by one with
 * each takeover, so no central comes near it; an `i_id` has room for 15 digits. Without this limit a forged epoch could
 * leave none for a real central to claim.
 */
export const MAX_EPOCH = 1e14;
