/**
 * How far a node's account of a message is believed. Central measures the time from sending the message to the answer;
 * the node says how long the message waited and how long its parts took. A node may lie or have a broken clock, so its
 * account divides the time that central measured and never changes the sum: a node that claims to need no time looks
 * like one behind a slow link, one that claims an hour like one that computed all the time.
 */

/** A node's account of a message, ms. */
export interface Claim {
  readonly queueMs: number;
  readonly computeMs: number;
}

/** What is believed, ms; with the wait it adds up to the time that central measured. */
export interface Belief {
  readonly computeMs: number;
  /** Beyond waiting and computing: the way there and back. */
  readonly transferMs: number;
}

/**
 * Least share of a message's time that counts as computing, whatever the node says. A true account of small parts
 * behind a slow link may lie below it; then some of the link's time counts as computing, which predicts the same for
 * messages of the same kind.
 */
export const LEAST_COMPUTING = 1 / 8;

/**
 * `elapsedMs`: from sending the message to its last answer. `busyMs`: how much of that the node still owed answers to
 * earlier messages, which bounds the wait of this one. `share`: the share (0..1) of the message that the claim is
 * about.
 */
export function believe(claim: Claim, elapsedMs: number, busyMs: number, share = 1): Belief {
  const elapsed = Math.max(0, elapsedMs);
  const waited = Math.min(elapsed, Math.max(0, busyMs), orZero(claim.queueMs));
  const seen = elapsed - waited;
  const computeMs = Math.min(seen, Math.max(seen * share * LEAST_COMPUTING, orZero(claim.computeMs)));
  return { computeMs, transferMs: seen - computeMs };
}

/** NaN and negative times count as 0. */
const orZero = (ms: number): number => (ms > 0 ? ms : 0);
