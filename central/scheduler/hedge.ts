/** The q-quantile of `samples` by nearest rank; undefined for none. */
export function percentile(samples: readonly number[], q: number): number | undefined {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}

/**
 * How long to wait for a node before somebody else is asked too, ms: twice what was predicted, or what this node needs
 * in one of twenty cases, whichever is longer, so that at most about 5 % of the work is done twice.
 */
export function hedgeDelay(predictedMs: number, slowResponseMs: number | undefined, floorMs: number): number {
  return Math.max(2 * predictedMs, slowResponseMs ?? 0, floorMs);
}

/** A node that could be asked for a part that is late elsewhere. */
export interface HedgeCandidate {
  /** Nothing is asked of it. */
  readonly idle: boolean;
  /** When it would be done with the part, ms from now. */
  readonly finishMs: number;
}

/**
 * Whom to ask for a part that has been waited for `waitedMs`: the fastest idle node; else the one that would be done
 * first, if that is sooner than the time already lost; else nobody (-1), for a busy cluster gains nothing by more work.
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
