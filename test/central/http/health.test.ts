import { describe, expect, it } from 'vitest';
import { type HealthFacts, judgeHealth } from '../../../central/http/health.ts';

const well: HealthFacts = {
  phase: 'active',
  brokerConnected: true,
  refused: new Map(),
  served: 1,
  isJournalWritten: true,
};

describe('health', () => {
  it('is good for an active central and for one that stands by', () => {
    expect(judgeHealth(well)).toEqual({ ok: true, phase: 'active', problems: [] });
    expect(judgeHealth({ ...well, phase: 'standby' }).ok).toBe(true);
  });

  it.each([
    [{ phase: 'starting', served: 0 }, 'central is starting'],
    [{ phase: 'relieved' }, 'another central has taken over'],
    [{ brokerConnected: false }, 'central is not connected to the broker'],
    [{ isJournalWritten: false }, 'the journal cannot be written, so no frame is accepted'],
    [
      { served: 0, refused: new Map([['m', { code: 'TESSERA_SHAPE', message: 'no shape' }]]) },
      'no model is served; m: no shape',
    ],
  ] as const)('%j is a problem', (facts, problem) => {
    expect(judgeHealth({ ...well, ...(facts as Partial<HealthFacts>) })).toMatchObject({
      ok: false,
      problems: [problem],
    });
  });
});
