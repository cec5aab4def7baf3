import { type Hop, hopMs } from '../cost/hop.ts';
import type { Objective } from '../query/demands.ts';
import type { Chain, CrossingBytes } from './tables.ts';

/** A pipeline's value (less is better): its chain, and the last block of the first and of the second stage. */
export type Score = (chain: Chain, first: number, second: number) => number;

/** Whether a score is the prediction itself, not only a lower bound of it. */
export function isExact(
  { skips, isOdd, cut }: CrossingBytes,
  objective: Objective,
  chain: Chain,
  first: number,
  second: number,
): boolean {
  if (isOdd || objective === 'energy' || objective === 'misses') return false;
  if (chain.doesMore && objective !== 'transfer') return false;
  // The frame's source, and the way of the outputs, may be busy with other work.
  if (
    objective === 'throughput' &&
    (chain.home !== undefined || chain.nodes.slice(1).some(({ id }) => id === chain.source))
  )
    return false;
  return chain.nodes.length < 3 || (skips?.passed[first * cut.length + second] ?? 0) === 0;
}

/** Adds a hop's messages to what its machines do; the time of the slowest of its links, or of the frame's source. */
function busiestOf(busy: number[], hop: Hop, index: number, bytes: number): number {
  if (index > 0) busy[index - 1]! += hop.sender_ms;
  busy[index]! += hop.receiver_ms;
  const alone = index === 0 ? hop.sender_ms : 0;
  return hop.legs.reduce((most, { mbps }) => Math.max(most, bytes / (mbps * 125)), alone);
}

/**
 * Scores of pipelines by prefix sums: what `predict` says of them where `isExact`, else no more than that: what
 * keeps a link or a machine busy twice is then left out.
 */
export function scoreOf(objective: Objective, { frame, cut, skips, isOdd }: CrossingBytes): Score {
  const blocks = cut.length;
  const outputs = isOdd ? 0 : cut[blocks - 1]!;
  const lastOf = (chain: Chain, index: number, first: number, second: number): number =>
    index === chain.nodes.length - 1 ? blocks - 1 : index === 0 ? first : second;
  const runMs = (chain: Chain, index: number, first: number, second: number): number => {
    const from = index === 0 ? 0 : (index === 1 ? first : second) + 1;
    return chain.times[index]![from * blocks + lastOf(chain, index, first, second)]!;
  };
  /** Bytes to a stage from the one before it. */
  const bytesTo = (chain: Chain, index: number, first: number, second: number): number => {
    if (index === 0) return frame;
    if (index === 2) return cut[second]! - (skips?.passed[first * blocks + second] ?? 0);
    return skips === undefined ? cut[first]! : skips.read[first * blocks + lastOf(chain, 1, first, second)]!;
  };

  switch (objective) {
    case 'latency':
      return (chain, first, second) => {
        let [ms, firstMs] = [0, 0];
        for (let index = 0; index < chain.nodes.length; index++) {
          ms += hopMs(chain.hops[index]!, bytesTo(chain, index, first, second));
          if (index === 2 && skips !== undefined) {
            const passed = skips.passed[first * blocks + second]!;
            if (passed > 0) ms = Math.max(ms, firstMs + hopMs(chain.skip!, passed));
          }
          ms += runMs(chain, index, first, second);
          if (index === 0) firstMs = ms;
        }
        const { home } = chain;
        return home === undefined || isOdd ? ms : ms + home.fixed_ms + outputs * home.ms_per_byte;
      };
    case 'transfer':
      return (chain, first, second) => {
        let bytes = chain.hops[0]!.legs.length === 0 ? 0 : frame;
        if (chain.nodes.length > 1) bytes += cut[first]!;
        if (chain.nodes.length > 2) bytes += bytesTo(chain, 2, first, second);
        return chain.home === undefined ? bytes : bytes + outputs;
      };
    case 'throughput':
      return (chain, first, second) => {
        const busy = chain.nodes.map((_, index) => runMs(chain, index, first, second));
        let links = 0;
        chain.hops.forEach((hop, index) => {
          links = Math.max(links, busiestOf(busy, hop, index, bytesTo(chain, index, first, second)));
        });
        return Math.max(links, ...busy);
      };
    case 'energy':
    case 'misses':
      return () => 0;
  }
}
