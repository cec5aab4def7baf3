import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frameTime } from '../../../central/planner/cost.ts';
import { choosePlan, type PlanRequest } from '../../../central/planner/default-plan.ts';
import { loadServedModel, type ServedModel } from '../../../central/served-model.ts';
import { parseCard } from '../../../shared/model/card.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../../shared/runtime/signature.ts';
import { tinyNetwork } from '../../support/tiny-network.ts';

/**
 * A network that was retrained for its tiles gives wrong answers with other tiles: what model.yaml says has to reach
 * the plan.
 */

const tiles = [
  { after: 'a', grid: [4, 4], padding: 'zero' },
  { after: 'p', grid: [2, 1], padding: 'zero', clip: [0.2, 2], bits: 4 },
];

let folder: string;
let served: ServedModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-choose-'));
  const card = parseCard({ name: 'tiny', task: 'raw', tiles }, 'model.yaml');
  const request = { name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false };
  served = await loadServedModel(request, await openBlobStore(folder), await openSigningKey(folder));
});
afterAll(() => rm(folder, { recursive: true }));

const stages = (plan: ReturnType<typeof choosePlan>) =>
  plan.plan.stages.map(({ outputs, split }) => ({
    outputs,
    split: split.kind === 'tiles' ? `${split.padding} ${split.rows}x${split.cols}` : split.kind,
  }));

describe('the plan for a network with tiles in its card', () => {
  it('gives each stage the grid that it was retrained for', () => {
    expect(stages(choosePlan(served, { nodeCount: 8 }))).toEqual([
      { outputs: ['a'], split: 'zero 4,4,4,4x4,4,4,4' },
      { outputs: ['p'], split: 'zero 4,4x8' },
      { outputs: ['y'], split: 'whole' },
    ]);
  });

  it('clips and quantises the tensors for which the network was retrained, whatever the tiles', () => {
    const codecs = (request: PlanRequest) => choosePlan(served, request).plan.stages.map(({ codec }) => codec);
    const clip = { name: 'clip', a: 0.2, b: 2, bits: 4 };
    expect(codecs({ nodeCount: 8 })).toEqual([{}, { p: clip }, {}]);
    expect(codecs({ nodeCount: 8, padding: 'halo', cuts: ['p'] })).toEqual([{ p: clip }, {}]);
    expect(choosePlan(served, { nodeCount: 2, padding: 'halo', cuts: ['p'] }).approximate).toBe(true);
  });

  it('encodes every tile result as the user asks, in place of what the card says', () => {
    const made = choosePlan(served, { nodeCount: 8, codec: { name: 'fp16' } });
    expect(made.plan.stages.map(({ codec }) => codec)).toEqual([{ a: { name: 'fp16' } }, { p: { name: 'fp16' } }, {}]);
    expect(made.approximate).toBe(true);
    const lossless = { nodeCount: 2, padding: 'halo', cuts: ['p'], codec: { name: 'packed' } } as const;
    expect(choosePlan(served, lossless).approximate).toBe(false);
  });

  it('gives every stage the grid that the user sets', () => {
    const [first, second] = stages(choosePlan(served, { nodeCount: 8, grid: { rows: 1, cols: 2 } }));
    expect([first?.split, second?.split]).toEqual(['zero 16x8,8', 'zero 8x4,4']);
  });

  it('ignores the card where the user asks for halo', () => {
    const made = stages(choosePlan(served, { nodeCount: 2, padding: 'halo' }));
    expect(made.some(({ split }) => split.startsWith('zero'))).toBe(false);
  });

  it('ignores the card where the user asks for two stages and the network was retrained for one', () => {
    const one = { ...served, card: { ...served.card, tiles: served.card.tiles.slice(0, 1) } };
    expect(stages(choosePlan(one, { nodeCount: 2, strategy: 'two-stage' })).map(({ split }) => split)).toEqual([
      expect.stringMatching(/^halo/),
      expect.stringMatching(/^halo/),
    ]);
  });
});

describe('the plan for a network that was calibrated', () => {
  const calibrated = [
    { codecs: { a: 'clip:0:2:4' }, agreement: 0.992, pictures: 200, bytes: 900 },
    { codecs: { p: 'clip:0:2:5' }, agreement: 0.991, pictures: 200, bytes: 400 },
    { codecs: { p: 'clip:0:2:7' }, agreement: 1, pictures: 200, bytes: 700 },
  ];
  const plan = (request: PlanRequest, tiles: object[] = []) =>
    choosePlan({ ...served, card: parseCard({ name: 'tiny', task: 'raw', tiles, calibrated }, 'model.yaml') }, request);
  const firstCodec = (made: ReturnType<typeof choosePlan>) => made.plan.stages[0]!.codec;

  it('is cut where the fewest bytes keep the bound, and says that it is approximate', () => {
    const made = plan({ nodeCount: 4, agreement: 0.99 });
    expect(firstCodec(made)).toEqual({ p: { name: 'clip', a: 0, b: 2, bits: 5 } });
    expect(made.approximate).toBe(true);
    expect(made.plan.reason).toContain('results clipped within an agreement of 99 %');
    expect(firstCodec(plan({ nodeCount: 4, agreement: 0.995 }))).toEqual({ p: { name: 'clip', a: 0, b: 2, bits: 7 } });
  });

  it('is cut where the user says, with the codec measured at that cut', () => {
    expect(firstCodec(plan({ nodeCount: 4, agreement: 0.99, cuts: ['a'] }))).toMatchObject({ a: { bits: 4 } });
    const strict = plan({ nodeCount: 4, agreement: 0.999, cuts: ['a'] });
    expect(firstCodec(strict)).toEqual({ a: { name: 'packed' } });
    expect(strict.approximate).toBe(false);
    expect(strict.plan.reason).toContain('no calibrated codec keeps an agreement of 99.9 %');
  });

  it('uses only codecs that every node announces, unless the user or the network set the codec', () => {
    const nodes = (...codecs: string[]) => [
      { id: 'new', tier: 'edge' as const, memory_mb: 1000, codecs: ['raw', 'packed', 'clip'], splits: ['tiles'] },
      { id: 'old', tier: 'edge' as const, memory_mb: 1000, codecs: ['raw', ...codecs], splits: ['tiles'] },
    ];
    const request = { nodeCount: 4, agreement: 0.99, cuts: ['p'] };
    expect(firstCodec(plan({ ...request, known: nodes('clip') }))).toMatchObject({ p: { bits: 5 } });
    const old = plan({ ...request, known: nodes('packed') });
    expect(firstCodec(old)).toEqual({ p: { name: 'packed' } });
    expect(old.plan.reason).toContain('no calibrated codec of those that all nodes announce keeps');
    expect(firstCodec(plan({ ...request, known: nodes() }))).toEqual({});
    expect(firstCodec(plan({ ...request, known: nodes(), nodes: ['new'] }))).toMatchObject({ p: { bits: 5 } });
    expect(firstCodec(plan({ ...request, known: nodes(), codec: { name: 'fp16' } }))).toEqual({ p: { name: 'fp16' } });
    const trained = [{ after: 'p', grid: [2, 1], padding: 'zero', clip: [0.2, 2], bits: 4 }];
    expect(firstCodec(plan({ nodeCount: 4, known: nodes() }, trained))).toMatchObject({ p: { name: 'clip', bits: 4 } });
  });

  it('is lossless unless the user sets a bound, and takes another cut where the feature map has too few cells', () => {
    expect(plan({ nodeCount: 4 }).approximate).toBe(false);
    expect(firstCodec(plan({ nodeCount: 4, agreement: 0.99, grid: { rows: 10, cols: 1 } }))).toHaveProperty('a');
  });

  it('ignores the calibration where tiles run without halo or the network was retrained, as neither was measured', () => {
    expect(firstCodec(plan({ nodeCount: 4, agreement: 0.9, padding: 'zero' }))).toEqual({});
    expect(plan({ nodeCount: 4, agreement: 0.9 }, tiles).plan.stages.map(({ codec }) => codec)).toEqual([
      {},
      { p: { name: 'clip', a: 0.2, b: 2, bits: 4 } },
      {},
    ]);
  });
});

describe('planning for the nodes that are online', () => {
  const known = ['pi-1', 'pi-2', 'pi-3', 'pi-4'].map((id) => ({
    id,
    tier: 'edge' as const,
    memory_mb: 1000,
    codecs: ['raw'],
    splits: ['tiles'],
  }));
  const split = (request: PlanRequest) => stages(choosePlan(served, { padding: 'halo', ...request }))[0]!.split;

  it('is planned for, where it has more nodes than the user expects', () => {
    const strategy = 'tiles-prefix';
    expect(split({ nodeCount: 1, known, strategy })).toBe(split({ nodeCount: 4, strategy }));
    expect(split({ nodeCount: 1, strategy })).not.toBe(split({ nodeCount: 4, strategy }));
  });

  it('takes the fastest of the plans that a strategy proposes', () => {
    const plan = (...cuts: string[]) =>
      choosePlan(served, { nodeCount: 4, padding: 'halo', strategy: 'tiles-prefix', cuts });
    const [shallow, deep] = [plan('a'), plan('p')];
    expect(frameTime(shallow, 4)).not.toBe(frameTime(deep, 4));
    const fastest = frameTime(shallow, 4) < frameTime(deep, 4) ? shallow : deep;
    expect(plan('a', 'p').plan.id).toBe(fastest.plan.id);
  });

  it('counts only nodes that may be asked', () => {
    const strategy = 'tiles-prefix';
    expect(split({ nodeCount: 1, known, nodes: ['pi-1'], strategy })).toBe(split({ nodeCount: 1, strategy }));
  });
});

describe('a problem without a plan', () => {
  it('is an error with the reason of the strategy that cannot do what the user asks', () => {
    const grid = { rows: 1000, cols: 1000 };
    expect(() => choosePlan(served, { nodeCount: 2, padding: 'halo', grid })).toThrow(
      /no plan for model "tiny": it cannot be cut into 1000x1000 tiles/,
    );
    expect(() => choosePlan(served, { nodeCount: 2, cuts: ['ghost'] })).toThrow(/no plan .*: .*"ghost"/);
    expect(() => choosePlan(served, { nodeCount: 2, strategy: 'magic' })).toThrow(/no strategy "magic"/);
  });
});
