import { describe, expect, it } from 'vitest';
import { type Candidate, rankingOf, slowest, whyBest } from '../../../central/planner/ranking.ts';

const candidate = (id: string, strategy: string, latency_ms: number, bytes = 1000): Candidate => ({
  plan: { id, strategy, reason: `plan ${id}` } as Candidate['plan'],
  prediction: {
    latency_ms,
    transferred_bytes: bytes,
    stages: [
      {
        id: 0,
        parts: [
          { t_id: 0, node: 'a', start_ms: 1, end_ms: 1 + latency_ms / 2 },
          { t_id: 1, node: 'b', start_ms: 1, end_ms: 2 },
        ],
      },
    ],
  } as unknown as Candidate['prediction'],
});
const latency = ({ latency_ms }: Candidate['prediction']): number => latency_ms;

describe('a ranking', () => {
  it('has the best plan of each strategy, the best first, and the one in use', () => {
    const all = [
      candidate('p-1', 'strips', 40),
      candidate('p-2', 'strips', 20),
      candidate('p-3', 'single', 30),
      candidate('p-4', 'strips', 50),
    ];
    expect(rankingOf(all, 'p-4', latency).map(({ plan }) => plan)).toEqual(['p-2', 'p-3', 'p-4']);
    expect(rankingOf(all, 'p-2', latency)[0]).toEqual({
      plan: 'p-2',
      strategy: 'strips',
      reason: 'plan p-2',
      cost_ms: 20,
      latency_ms: 20,
      bytes: 1000,
      stages: [{ id: 0, compute_ms: 10 }],
    });
  });

  it('has a bounded number of plans, and always the one in use', () => {
    const many = Array.from({ length: 30 }, (_, k) => candidate(`p-${k}`, `strategy ${k}`, k + 1));
    const ranked = rankingOf(many, 'p-29', latency);
    expect(ranked).toHaveLength(9);
    expect(ranked.at(-1)!.plan).toBe('p-29');
  });

  it('says why the best one is better than the next: less computing, or fewer bytes', () => {
    const ranked = (...all: Candidate[]) => rankingOf(all, '', latency);
    expect(whyBest(ranked(candidate('p-1', 'strips', 20, 3000), candidate('p-2', 'single', 50)))).toBe(
      '30 ms less than single: 15 ms less computing, 2 kB more between machines',
    );
    expect(whyBest(ranked(candidate('p-1', 'strips', 20), candidate('p-2', 'single', 20)))).toBe(
      'as fast as single: as much computing, as much between machines',
    );
    expect(whyBest(ranked(candidate('p-1', 'strips', 20)))).toBeUndefined();
    expect(slowest([])).toBe(0);
  });
});
