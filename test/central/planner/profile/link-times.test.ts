import { describe, expect, it } from 'vitest';
import { echoedLink, fixedMs } from '../../../../central/planner/profile/link-times.ts';

describe('a link', () => {
  it('has the time of empty echoes, and the bandwidth of what larger ones take longer', () => {
    const at = (bytes: number) => ({ bytes, ms: [10 + bytes / 1250, 500, 10 + bytes / 1250] });
    expect(echoedLink([at(0), at(32_768), at(131_072)])).toEqual({ empty_ms: 10, mbps: expect.closeTo(10, 3) });
  });

  it('has a bandwidth also where larger echoes are no slower than empty ones', () => {
    const { mbps } = echoedLink([
      { bytes: 0, ms: [2] },
      { bytes: 1000, ms: [1] },
    ]);
    expect(mbps).toBeGreaterThan(1e5);
    expect(Number.isFinite(mbps)).toBe(true);
  });

  it('has half an echo as the time of a hop, without what the message costs both machines', () => {
    expect(fixedMs({ empty_ms: 10, mbps: 1 }, [0.5, 1])).toBe(3.5);
    expect(fixedMs({ empty_ms: 1, mbps: 1 }, [0.5, 1])).toBe(0);
  });
});
