import { describe, expect, it } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { Measurements, type MeasureOrder } from '../../../shared/node/measurements.ts';
import { usualSettings } from '../../../shared/node/runtime-settings.ts';
import { tinyPlan } from '../../support/tiny-network.ts';

const PLAN = 'p-00000a';
const sha = 'a'.repeat(64);
const order: MeasureOrder = {
  v: 1,
  type: 'measure',
  plan: tinyPlan(sha, { kind: 'whole' }, PLAN),
  manifest: { format: 'tessera-model/1', name: 'm', skeleton: { sha, size: 1 }, blobs: [] },
  stage: 0,
  warmup: 1,
  repeats: 5,
  budget_ms: 100,
  request: 7,
};

function node({ has = [] as string[], refuses = false, fails = false, keeps = true } = {}) {
  const calls: string[] = [];
  const measurements = new Measurements({
    executor: {
      plans: () => has,
      measure: async (plan, stage, options) => {
        calls.push(`measure ${plan} ${stage} ${JSON.stringify(options)}`);
        if (fails) throw new TesseraError('TESSERA_RUN_FAILED', 'no memory', { hint: 'use less' });
        return { ms: [2, 3], others: 4 };
      },
      tune: async (plan, stage, skeleton, options) => {
        calls.push(`tune ${plan} ${stage} ${skeleton === sha} ${JSON.stringify(options)}`);
        return fails ? undefined : { settings: usualSettings(2), ms: 2, usual_ms: 3 };
      },
      keep: () => true,
      take: async () => ({ missing: [] }),
      free: () => {},
    },
    now: () => 0,
    plans: {
      prepare: async () => {
        calls.push('prepare');
        const about = { v: 1, plan: PLAN } as const;
        if (refuses) return { ...about, type: 'refused', code: 'TESSERA_BLOB', text: 'a piece is missing' };
        return { ...about, type: 'ready', boot_id: 'b' };
      },
      release: (plan) => void calls.push(`release ${plan}`),
    },
    keepSettings: keeps ? (skeleton, { threads }) => void calls.push(`keep ${skeleton === sha} ${threads}`) : undefined,
    echoes: {
      measure: async (to, repeats) => {
        calls.push(`echo ${to} ${repeats}`);
        return { echoes: [{ bytes: 0, ms: [1] }], message_ms: 0.1 };
      },
    },
  });
  return { calls, carryOut: (asked: MeasureOrder) => measurements.carryOut('central', asked) };
}

describe('measurements at a node', () => {
  it('prepare a stage, run it and release it', async () => {
    const { calls, carryOut } = node();
    expect(await carryOut(order)).toEqual({ v: 1, type: 'measured', request: 7, ms: [2, 3], others: 4 });
    expect(calls).toEqual(['prepare', `measure ${PLAN} 0 {"warmup":1,"repeats":5,"budgetMs":100}`, `release ${PLAN}`]);
  });

  it('keep a plan that was here before, since frames may use it', async () => {
    const { calls, carryOut } = node({ has: [PLAN] });
    await carryOut(order);
    expect(calls).not.toContain(`release ${PLAN}`);
  });

  it('say why a stage is not measured, and release what was prepared', async () => {
    expect(await node({ refuses: true }).carryOut(order)).toMatchObject({
      type: 'unmeasured',
      request: 7,
      code: 'TESSERA_BLOB',
      text: 'a piece is missing',
    });
    const { calls, carryOut } = node({ fails: true });
    expect(await carryOut(order)).toMatchObject({ type: 'unmeasured', text: 'no memory; use less' });
    expect(calls).toContain(`release ${PLAN}`);
  });

  it('search the fastest settings of a model, and keep them', async () => {
    const { warmup: _, ...rest } = order as Extract<MeasureOrder, { type: 'measure' }>;
    const tune: MeasureOrder = { ...rest, type: 'tune' };
    const { calls, carryOut } = node();
    expect(await carryOut(tune)).toEqual({
      v: 1,
      type: 'tuned',
      request: 7,
      settings: usualSettings(2),
      ms: 2,
      usual_ms: 3,
    });
    const searched = `tune ${PLAN} 0 true {"warmup":2,"repeats":5,"budgetMs":100}`;
    expect(calls).toEqual(['prepare', searched, 'keep true 2', `release ${PLAN}`]);
    expect(await node({ fails: true }).carryOut(tune)).toMatchObject({ type: 'unmeasured' });
    expect(await node({ keeps: false }).carryOut(tune)).toMatchObject({ type: 'unmeasured' });
  });

  it('measure a link', async () => {
    const { calls, carryOut } = node();
    expect(await carryOut({ v: 1, type: 'probe', to: 'pi-2', repeats: 3, request: 8 })).toEqual({
      v: 1,
      type: 'probed',
      request: 8,
      echoes: [{ bytes: 0, ms: [1] }],
      message_ms: 0.1,
    });
    expect(calls).toEqual(['echo pi-2 3']);
  });

  it('run one after another, or else they would measure each other; only so many wait', async () => {
    const { calls, carryOut } = node();
    const answers = await Promise.all(Array.from({ length: 9 }, () => carryOut(order)));
    const types = answers.map(({ type }) => type);
    expect(types).toEqual([...Array(8).fill('measured'), 'unmeasured']);
    const one = ['prepare', expect.stringMatching('measure'), `release ${PLAN}`];
    expect(calls).toEqual(Array(8).fill(one).flat());
    expect(await carryOut(order)).toMatchObject({ type: 'measured' });
  });
});
