import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { JobPart } from '../../../shared/node/stage-part.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { compileStage } from '../../../shared/plan/compile.ts';
import type { Plan, Split } from '../../../shared/plan/plan.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import { inlineRegions } from '../../../shared/protocol/messages/region.ts';
import { boxShape, byteLength, paste, type Tensor, wholeBox } from '../../../shared/tensor/tensor.ts';
import { tinyInput, tinyPlan, wireRegion } from '../../support/tiny-network.ts';
import { outputsOf, packTiny, type TinyPackage } from '../../support/tiny-package.ts';

// Counts the calls, and changes nothing; takes effect in modules that are read anew.
vi.hoisted(() => vi.resetModules());
vi.mock('../../../shared/plan/compile.ts', { spy: true });

let tiny: TinyPackage;
beforeAll(async () => {
  tiny = await packTiny();
});
afterAll(() => tiny.remove());

const HALVES: Split = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] };

function runner(sessionMemoryMb = 100): StageRunner {
  return new StageRunner({ node: 'n1', store: tiny.store, threads: 1, sessionMemoryMb });
}

/** The two tiles of HALVES: rows 0 to 3 and 3 to 8 of y, with one row of halo in p, that is two of x, and one more. */
function halves(): JobPart[] {
  const x = tinyInput();
  const codec = { name: 'raw' as const };
  const box = (rows: [number, number]): [number, number][] => [[0, 1], [0, 8], rows, [0, 8]];
  const inBox = (rows: [number, number]): [number, number][] => [[0, 1], [0, 3], rows, [0, 16]];
  return [
    { t_id: 0, in: [wireRegion('x', x, inBox([0, 9]))], out: [{ tensor: 'y', box: box([0, 3]), codec }] },
    { t_id: 1, in: [wireRegion('x', x, inBox([3, 16]))], out: [{ tensor: 'y', box: box([3, 8]), codec }] },
  ];
}

describe('a prepared stage', () => {
  it('run in tiles gives the whole network, bit for bit', async () => {
    const stages = runner();
    await stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton);
    const y: Tensor = { ...tiny.whole, data: new Uint8Array(byteLength(tiny.whole)) };
    for (const tile of halves()) {
      const [region] = outputsOf(await stages.runPart('p-00000001', 0, tile));
      expect(region).toMatchObject({ tensor: 'y', dtype: 'float32', shape: boxShape(tile.out[0]!.box) });
      paste(y, region!.box, region!.d);
    }
    expect(Buffer.compare(y.data, tiny.whole.data)).toBe(0);
    await stages.stop();
  });

  it('is measured on made-up inputs, split or whole', async () => {
    const stages = runner();
    for (const split of [HALVES, { kind: 'whole' } as const]) {
      await stages.prepare(tinyPlan(tiny.skeleton, split), [0], tiny.skeleton);
      const run = await stages.measuredRun('p-00000001', 0);
      expect(await run()).toBeGreaterThan(0);
      stages.release('p-00000001');
      await expect(stages.measuredRun('p-00000001', 0)).rejects.toMatchObject({ code: 'TESSERA_RUN_FAILED' });
    }
    await stages.stop();
  });

  it('run whole gives the whole network, bit for bit', async () => {
    const stages = runner();
    await stages.prepare(tinyPlan(tiny.skeleton, { kind: 'whole' }), [0], tiny.skeleton);
    const out = [{ tensor: 'y', box: wholeBox(tiny.whole.shape), codec: { name: 'raw' as const } }];
    const tile = { t_id: 0, in: [wireRegion('x', tinyInput())], out };
    const [region] = outputsOf(await stages.runPart('p-00000001', 0, tile));
    expect(Buffer.compare(region!.d, tiny.whole.data)).toBe(0);
    await stages.stop();
  });

  it('is loaded again when its session was released for another, or else a node with little memory fails every second frame', async () => {
    const stages = runner(2.02);
    await stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton);
    await stages.prepare(tinyPlan(tiny.skeleton, { kind: 'whole' }, 'p-00000002'), [0], tiny.skeleton);
    for (const tile of halves()) outputsOf(await stages.runPart('p-00000001', 0, tile));
    await stages.stop();
  });

  it('runs between the steps in which another plan is prepared, or else a switch of plans stalls its frames', async () => {
    // Memory for one session: each step evicts the other plan's, and comes back to its own.
    for (const memory of [100, 2.02]) {
      const stages = runner(memory);
      await stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton);
      let steps = 0;
      const next = tinyPlan(tiny.skeleton, { kind: 'whole' }, 'p-00000002');
      await stages.prepare(next, [0], tiny.skeleton, [], async (step) => {
        const made = await step();
        steps += 1;
        outputsOf(await stages.runPart('p-00000001', 0, halves()[0]!));
        return made;
      });
      expect(steps).toBe(3);
      const out = [{ tensor: 'y', box: wholeBox(tiny.whole.shape), codec: { name: 'raw' as const } }];
      const tile = { t_id: 0, in: [wireRegion('x', tinyInput())], out };
      expect(Buffer.compare(outputsOf(await stages.runPart(next.id, 0, tile))[0]!.d, tiny.whole.data)).toBe(0);
      await stages.stop();
    }
  });

  it('is refused when it alone needs more memory than the limit', async () => {
    const stages = runner(1);
    await expect(stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton)).rejects.toMatchObject({
      code: 'TESSERA_RUN_FAILED',
      hint: expect.any(String),
    });
    expect(await stages.runPart('p-00000001', 0, halves()[0]!)).toMatchObject({ error: { code: 'unknown-plan' } });
  });

  it('is unknown before it is prepared and after it is released', async () => {
    const stages = runner();
    const tile = halves()[0]!;
    expect(await stages.runPart('p-00000001', 0, tile)).toMatchObject({ error: { code: 'unknown-plan' } });
    await stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton);
    expect(await stages.runPart('p-00000001', 1, tile)).toMatchObject({ error: { code: 'unknown-plan' } });
    stages.release('p-00000001');
    expect(await stages.runPart('p-00000001', 0, tile)).toMatchObject({ error: { code: 'unknown-plan' } });
    await stages.stop();
  });

  it('refuses a missing tiny.skeleton, and a stage that the plan does not have', async () => {
    const stages = runner();
    const absent = 'f'.repeat(64);
    await expect(stages.prepare(tinyPlan(absent, HALVES), [0], absent)).rejects.toMatchObject({ code: 'TESSERA_BLOB' });
    await expect(stages.prepare(tinyPlan(tiny.skeleton, HALVES), [3], tiny.skeleton)).rejects.toMatchObject({
      code: 'TESSERA_PLAN_INVALID',
    });
  });
});

describe('preparing stage by stage compiles each stage once and reads the tiny.skeleton once, or else frames wait longer', () => {
  /** x -> p -> y, one stage each. */
  function twoStages(id: string): Plan {
    const plan = tinyPlan(tiny.skeleton, { kind: 'whole' }, id);
    const [stage] = plan.stages;
    return {
      ...plan,
      stages: [
        { ...stage!, outputs: ['p'] },
        { ...stage!, id: 1, inputs: ['p'] },
      ],
    };
  }

  function counting() {
    const reads: string[] = [];
    const read: BlobStore['read'] = (sha, from, to) => {
      reads.push(sha);
      return tiny.store.read(sha, from, to);
    };
    vi.mocked(compileStage).mockClear();
    const compiled = () => vi.mocked(compileStage).mock.calls.map(([plan, stage]) => `${plan.id} ${stage.id}`);
    return {
      stages: new StageRunner({ node: 'n1', store: { ...tiny.store, read }, threads: 1, sessionMemoryMb: 100 }),
      reads,
      compiled,
    };
  }

  it('on a node that fetches the weights first', async () => {
    const { stages, reads, compiled } = counting();
    const plan = twoStages('p-00000001');
    for (const id of [0, 1]) expect(await stages.weights(plan, [id], tiny.skeleton)).toHaveLength(1);
    for (const id of [0, 1]) await stages.prepare(plan, [id], tiny.skeleton);
    expect(compiled()).toEqual(['p-00000001 0', 'p-00000001 1']);
    expect(reads).toEqual([tiny.skeleton]);
    await stages.stop();
  });

  it('where all weights are, and again for the next plan of the model', async () => {
    const { stages, reads, compiled } = counting();
    for (const plan of ['p-00000001', 'p-00000002'].map(twoStages))
      for (const id of [0, 1]) await stages.prepare(plan, [id], tiny.skeleton);
    expect(compiled()).toEqual(['p-00000001 0', 'p-00000001 1', 'p-00000002 0', 'p-00000002 1']);
    expect(reads).toEqual([tiny.skeleton]);
    await stages.stop();
  });

  it('and forgets the model of a plan that is released before it is prepared', async () => {
    const { stages, reads } = counting();
    const plan = twoStages('p-00000001');
    await stages.weights(plan, [0], tiny.skeleton);
    stages.release(plan.id);
    await stages.weights(plan, [0], tiny.skeleton);
    expect(reads).toEqual([tiny.skeleton, tiny.skeleton]);
    await stages.stop();
  });
});

describe('a tile that does not fit its plan is bad-input, or else the node computes something that was not requested', () => {
  let stages: StageRunner;
  beforeAll(async () => {
    stages = runner();
    await stages.prepare(tinyPlan(tiny.skeleton, HALVES), [0], tiny.skeleton);
  });
  afterAll(() => stages.stop());
  const good = () => halves()[0]!;
  const input = () => good().in[0]!;
  const output = () => good().out[0]!;

  const bad: Record<string, () => JobPart> = {
    'an unknown tile': () => ({ ...good(), t_id: 9 }),
    'a missing input': () => ({ ...good(), in: [] }),
    'another box': () => ({
      ...good(),
      in: [
        {
          ...input(),
          box: [
            [0, 1],
            [0, 3],
            [1, 10],
            [0, 16],
          ],
        },
      ],
    }),
    'another dtype': () => ({ ...good(), in: [{ ...input(), dtype: 'int32' }] }),
    'another shape': () => ({ ...good(), in: [{ ...input(), shape: [1, 3, 16, 9] }] }),
    'too few bytes': () => ({ ...good(), in: [{ ...input(), d: inlineRegions([input()])[0]!.d.subarray(4) }] }),
    'an unknown codec': () => ({ ...good(), in: [{ ...input(), codec: { name: 'zip' as 'raw' } }] }),
    'an unknown output': () => ({ ...good(), out: [{ ...output(), tensor: 'a' }] }),
    'another output box': () => ({
      ...good(),
      out: [
        {
          ...output(),
          box: [
            [0, 1],
            [0, 8],
            [1, 4],
            [0, 8],
          ],
        },
      ],
    }),
    'no output': () => ({ ...good(), out: [] }),
  };
  it.each(Object.keys(bad))('%s', async (name) => {
    const outcome = await stages.runPart('p-00000001', 0, bad[name]!());
    expect(outcome).toMatchObject({ error: { code: 'bad-input', text: expect.any(String) } });
    outputsOf(await stages.runPart('p-00000001', 0, good()));
  });
});
