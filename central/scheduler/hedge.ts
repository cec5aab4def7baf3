/** The q-quantile of `samples` by nearest rank; undefined for none. */
export function percentile(samples: readonly number[], q: number): number | undefined {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}

/**
 * How long to wait for a node before another one is requested too, ms: twice the prediction, or the node's 95th
 * percentile where that is longer, so that at most about 5 % of the work is done twice.
 */
export function hedgeDelay(predictedMs: number, slowResponseMs: number | undefined, floorMs: number): number {
  return Math.max(2 * predictedMs, slowResponseMs ?? 0, floorMs);
}

/** A node that could do a part that is late at another. */
export interface HedgeCandidate {
  /** The node has no work. */
  readonly idle: boolean;
  /** Predicted end of the part at this node, ms from now. */
  readonly finishMs: number;
}

/**
 * The node that does a part which is late by `waitedMs`: the fastest idle one; else the one that would finish first, if
 * that takes less than the time already lost; else none (-1), since a busy cluster gains nothing by more work.
 */
export function hedgeTarget(candidates: readonly HedgeCandidate[], waitedMs: number): number {
  let best = -1;
  candidates.forEach((candidate, k) => {
    if (!candidate.idle && candidate.finishMs > waitedMs) return;
    const other = candidates[best];
    if (other === undefined || (candidate.idle && !other.idle)) best = k;
    else if (candidate.idle === other.idle && candidate.finishMs < other.finishMs) best = k;
  });
  return best;
}
