/**
 * What is believed of a node's own account of a message. Central knows when it sent the message and when the answer
 * came; a node says how long the message waited there and how long its parts took. A node may lie or have a broken
 * clock, so what it says divides the time that central saw and never changes the sum: a node that claims to need no time
 * looks like one behind a slow link, one that claims to need an hour like one that computed all the time.
 */

/** What a node says of a message, ms. */
export interface Claim {
  readonly queueMs: number;
  readonly computeMs: number;
}

/** What is believed, ms; with the wait it adds up to what central saw. */
export interface Belief {
  readonly computeMs: number;
  /** Beyond waiting and computing: the way there and back. */
  readonly transferMs: number;
}

/**
 * Share of a message's time that is taken for computing at least, whatever the node says. A true account of small parts
 * behind a slow link may lie below it; then a little of the link's time counts as computing, which predicts the same for
 * messages of the same kind.
 */
export const LEAST_COMPUTING = 1 / 8;

/**
 * `elapsedMs`: from sending the message to its last answer. `busyMs`: for how much of that the node still owed answers to
 * earlier messages, which bounds how long this one can have waited for its turn. `share` is what part of the message the
 * claim is about.
 */
export function believe(claim: Claim, elapsedMs: number, busyMs: number, share = 1): Belief {
  const elapsed = Math.max(0, elapsedMs);
  const waited = Math.min(elapsed, Math.max(0, busyMs), orZero(claim.queueMs));
  const seen = elapsed - waited;
  const computeMs = Math.min(seen, Math.max(seen * share * LEAST_COMPUTING, orZero(claim.computeMs)));
  return { computeMs, transferMs: seen - computeMs };
}

/** NaN and negative times are no account at all. */
const orZero = (ms: number): number => (ms > 0 ? ms : 0);
