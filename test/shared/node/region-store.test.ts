import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { raw } from '../../../shared/codec/raw.ts';
import type { CodecSpec } from '../../../shared/codec/spec.ts';
import type { Job, PartOutcome } from '../../../shared/node/executor-types.ts';
import { RegionStore } from '../../../shared/node/region-store.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../../shared/plan/compiled-plan.ts';
import type { Plan, Split } from '../../../shared/plan/plan.ts';
import type { WireRegion } from '../../../shared/protocol/messages/region.ts';
import {
  type Box,
  byteLength,
  copyBox,
  crop,
  cropRegion,
  paste,
  type Tensor,
  wholeBox,
} from '../../../shared/tensor/tensor.ts';
import { numbers, TINY_SIDE, tinyInput, tinyNetwork, wireRegion } from '../../support/tiny-network.ts';
import { outputsOf, packTiny, type TinyPackage } from '../../support/tiny-package.ts';

// Counts the calls, and changes nothing; takes effect in modules that are read anew.
vi.hoisted(() => vi.resetModules());
vi.mock('../../../shared/tensor/tensor.ts', { spy: true });

type Input = Job['tiles'][number]['in'][number];

let tiny: TinyPackage;
beforeAll(async () => {
  tiny = await packTiny();
});
afterAll(() => tiny.remove());

const RAW: CodecSpec = { name: 'raw' };

/** x in tiles to `p`, and on in other tiles to `y`. */
function twoStages(first: Split, second: Split, codec: CodecSpec): Plan {
  const on = { mode: 'share', nodes: '*' } as const;
  const about = { on, fallback: 'central' } as const;
  return {
    format: 'tessera-plan/1',
    id: 'p-00000abc',
    model: tiny.skeleton,
    source: 'central',
    strategy: 'test',
    reason: 'test',
    stages: [
      { id: 0, inputs: ['x'], outputs: ['p'], split: first, ...about, codec: { p: codec } },
      { id: 1, inputs: ['p'], outputs: ['y'], split: second, ...about, codec: {} },
    ],
    predicted: null,
  };
}

const wire = (box: Box): [number, number][] => box.map(([start, end]) => [start, end]);

/**
 * Runs both stages over nodes that keep what they make: a part reads held regions of its own node in place, and sub-boxes
 * that other nodes send. `owner` says which node runs a part.
 */
async function runStraight(compiled: CompiledPlan, owner: (stage: number, tId: number) => number): Promise<Tensor> {
  const runner = new StageRunner({ node: 'n-1', store: tiny.store, threads: 1, sessionMemoryMb: 100 });
  const nodes = [0, 1, 2].map(() => new RegionStore());
  const y: Tensor = { ...tiny.whole, data: new Uint8Array(byteLength(tiny.whole)) };
  try {
    await runner.prepare(compiled.plan, [0, 1], tiny.skeleton);
    for (const { t_id, in: read, out } of compiled.stages[0]!.parts) {
      const tile = {
        t_id,
        in: read.map(({ tensor, box }) => wireRegion(tensor, tinyInput(), box)),
        out: out.map((region) => ({ ...region, keep: 'only' as const })),
      };
      expect(outputsOf(await runner.runPart(compiled.plan.id, 0, tile, nodes[owner(0, t_id)]!.of('1-1')))).toEqual([]);
    }
    for (const { t_id, links, out } of compiled.stages[1]!.parts) {
      const here = nodes[owner(1, t_id)]!;
      const inputs = links.map((link): Input => {
        const place = { tensor: link.tensor, box: wire(link.box) };
        const maker = owner(0, link.t_id);
        if (maker === owner(1, t_id)) return { ...place, held: true };
        const { codec } = compiled.stages[0]!.parts[link.t_id]!.out[0]!;
        here.keep('1-1', `n-${maker}`, nodes[maker]!.take('1-1', [{ ...place, codec }]) as WireRegion[]);
        return { ...place, from: `n-${maker}` };
      });
      const tile = { t_id, in: inputs, out };
      for (const { box, d } of outputsOf(await runner.runPart(compiled.plan.id, 1, tile, here.of('1-1'))))
        paste(y, box, d);
    }
    return y;
  } finally {
    await runner.stop();
  }
}

/** Sizes of 1 to 3 bands that add up to a side of `p` and `y`. */
const bands = fc
  .uniqueArray(fc.integer({ min: 1, max: TINY_SIDE / 2 - 1 }), { maxLength: 2 })
  .map((cuts) => [0, ...cuts.sort((a, b) => a - b), TINY_SIDE / 2])
  .map((edges) => edges.slice(1).map((edge, k) => edge - edges[k]!));
const split = fc.record({
  kind: fc.constant('tiles' as const),
  padding: fc.constant('halo' as const),
  rows: bands,
  cols: bands,
});

describe('two consecutive tile stages over nodes that keep their regions', () => {
  it('equal the whole network, bit for bit, for any grids and whoever runs which tile', async () => {
    await fc.assert(
      fc.asyncProperty(
        split,
        split,
        fc.infiniteStream(fc.integer({ min: 0, max: 2 })),
        async (first, second, choice) => {
          const compiled = compilePlan(twoStages(first, second, RAW), resolveModel(tinyNetwork()));
          const owners = compiled.stages.map(({ parts }) => parts.map(() => choice.next().value as number));
          const y = await runStraight(compiled, (stage, tId) => owners[stage]![tId]!);
          expect(Buffer.compare(y.data, tiny.whole.data)).toBe(0);
        },
      ),
      { numRuns: 15 },
    );
  });

  const lossy: CodecSpec[] = [
    { name: 'packed' },
    { name: 'fp16' },
    { name: 'clip', a: 0, b: 1, bits: 4 },
    { name: 'clip', a: 0.1, b: 1, bits: 8, base: 0.1 },
  ];
  it.each(lossy)('give the same numbers whether a region stays or travels: %o', async (codec) => {
    const tiles: Split = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] };
    const compiled = compilePlan(twoStages(tiles, tiles, codec), resolveModel(tinyNetwork()));
    const stays = await runStraight(compiled, () => 0);
    const travels = await runStraight(compiled, (stage) => stage);
    expect(Buffer.compare(stays.data, travels.data)).toBe(0);
  });
});

describe('a region that stays', () => {
  it('is copied once, into the input of the part that reads it; not at all where it is the whole input', async () => {
    const tiles: Split = { kind: 'tiles', padding: 'halo', rows: [4, 4], cols: [8] };
    const encode = vi.spyOn(raw, 'encode');
    for (const [first, second, copies] of [
      [tiles, tiles, 4],
      [{ kind: 'whole' }, { kind: 'whole' }, 0],
    ] as const) {
      const compiled = compilePlan(twoStages(first, second, RAW), resolveModel(tinyNetwork()));
      for (const counted of [encode, vi.mocked(copyBox), vi.mocked(cropRegion)]) counted.mockClear();
      await runStraight(compiled, () => 0);
      // Of the first stage nothing is cut or encoded: raw data is handed over as it is.
      expect([vi.mocked(copyBox).mock.calls.length, vi.mocked(cropRegion).mock.calls.length]).toEqual([copies, 0]);
      for (const { value, type } of encode.mock.results)
        expect([type, encode.mock.calls.some(([data]) => data === value)]).toEqual(['return', true]);
    }
  });
});

describe('kept regions', () => {
  const tensor: Tensor = { dtype: 'float32', shape: [1, 2, 6, 4], data: new Uint8Array(numbers(48, 3).buffer) };
  const part: Box = [
    [0, 1],
    [0, 2],
    [2, 6],
    [0, 4],
  ];
  const inner: Box = [
    [0, 1],
    [1, 2],
    [3, 5],
    [1, 4],
  ];

  it('are sent as any box of them', () => {
    const kept = new RegionStore();
    kept.keep('1-1', undefined, [wireRegion('t', tensor, part)]);
    const place = { tensor: 't', box: wire(inner) };
    const [sent] = kept.take('1-1', [{ ...place, codec: RAW }]) as WireRegion[];
    expect(sent).toEqual({ ...wireRegion('t', tensor, inner), d: crop(tensor, inner) });
  });

  it('stay when they are sent, or else a second reader finds nothing', () => {
    const kept = new RegionStore();
    const region = wireRegion('t', tensor, part);
    kept.of('1-1').keep(region);
    const place = { tensor: 't', box: wire(part), codec: RAW };
    const [sent] = kept.take('1-1', [place]) as WireRegion[];
    expect(sent!.d.buffer).not.toBe(region.d.buffer);
    expect(kept.take('1-1', [place])).toEqual([sent]);
  });

  it('are missing by name when they are not here, not all there, of another frame, or freed', () => {
    const kept = new RegionStore();
    kept.keep('1-1', undefined, [wireRegion('t', tensor, part)]);
    const all = { tensor: 't', box: wire(wholeBox(tensor.shape)) };
    const here = { tensor: 't', box: wire(part) };
    expect(
      kept.take(
        '1-1',
        [all, here].map((place) => ({ ...place, codec: RAW })),
      ),
    ).toEqual({ missing: [all] });
    expect(kept.take('1-2', [{ ...here, codec: RAW }])).toEqual({ missing: [here] });
    kept.free(['1-1']);
    expect(kept.take('1-1', [{ ...here, codec: RAW }])).toEqual({ missing: [here] });
  });

  it('of one sender are not found as those of another, nor in place of what was made here', () => {
    const kept = new RegionStore();
    kept.keep('1-1', 'n-1', [wireRegion('t', tensor, part)]);
    const place = { tensor: 't', box: wire(inner) };
    const frame = kept.of('1-1');
    expect(
      [frame.find(place, 'n-2'), frame.find(place, 'n-1'), frame.find(place)].map((found) => found?.tensor),
    ).toEqual([undefined, 't', undefined]);
    expect(kept.take('1-1', [{ ...place, codec: RAW }])).toEqual({ missing: [place] });
    const made = wireRegion('t', tensor, wholeBox(tensor.shape));
    frame.keep(made);
    expect(frame.find(place)).toBe(made);
  });

  it('are refused a codec that cannot carry them', () => {
    const kept = new RegionStore();
    const codes: Tensor = { dtype: 'int64', shape: [2], data: new Uint8Array(16) };
    kept.keep('1-1', undefined, [wireRegion('i', codes)]);
    const asked = { tensor: 'i', box: [[0, 2]] as [number, number][], codec: { name: 'fp16' } as const };
    expect(() => kept.take('1-1', [asked])).toThrow(expect.objectContaining({ code: 'TESSERA_CODEC' }));
  });
});

describe('a part that reads kept regions', () => {
  const tiles: Split = { kind: 'tiles', padding: 'halo', rows: [4, 4], cols: [8] };

  async function secondTile(change: (inputs: Input[], kept: RegionStore) => Input[]): Promise<PartOutcome> {
    const compiled = compilePlan(twoStages(tiles, tiles, RAW), resolveModel(tinyNetwork()));
    const runner = new StageRunner({ node: 'n-1', store: tiny.store, threads: 1, sessionMemoryMb: 100 });
    const kept = new RegionStore();
    try {
      await runner.prepare(compiled.plan, [1], tiny.skeleton);
      const p: Tensor = { dtype: 'float32', shape: [1, 16, 8, 8], data: new Uint8Array(numbers(1024, 1).buffer) };
      for (const { out } of compiled.stages[0]!.parts) kept.keep('1-1', 'n-1', [wireRegion('p', p, out[0]!.box)]);
      const { links, out } = compiled.stages[1]!.parts[1]!;
      const inputs = links.map(({ tensor, box }): Input => ({ tensor, box: wire(box), from: 'n-1' }));
      return await runner.runPart(compiled.plan.id, 1, { t_id: 1, in: change(inputs, kept), out }, kept.of('1-1'));
    } finally {
      await runner.stop();
    }
  }

  it('runs when its regions cover its input exactly once', async () => {
    expect(await secondTile((inputs) => inputs)).toMatchObject({ out: [{ tensor: 'y' }] });
  });

  it('is refused where they leave a gap, or zeros would be computed with', async () => {
    expect(await secondTile((inputs) => inputs.slice(1))).toMatchObject({ error: { code: 'bad-input' } });
  });

  it('is refused where they overlap, or come twice', async () => {
    expect(await secondTile((inputs) => [...inputs, inputs[0]!])).toMatchObject({ error: { code: 'bad-input' } });
  });

  it('names those that are not here', async () => {
    const outcome = await secondTile(([first, second]) => [{ ...first!, from: 'n-2' } as Input, second!]);
    expect(outcome).toMatchObject({ error: { code: 'missing-input', regions: [{ tensor: 'p' }] } });
  });

  it('names one that cannot be decoded as missing, and forgets it, so that central has it sent again', async () => {
    let found = (): WireRegion | undefined => undefined;
    const outcome = await secondTile((inputs, kept) => {
      const [first] = inputs;
      const frame = kept.of('1-1');
      const region = frame.find(first!, 'n-1')!;
      frame.drop(region);
      kept.keep('1-1', 'n-1', [{ ...region, d: region.d.subarray(4) }]);
      found = () => frame.find(first!, 'n-1');
      return inputs;
    });
    expect(outcome).toMatchObject({ error: { code: 'missing-input', regions: [{ tensor: 'p' }] } });
    expect(found()).toBeUndefined();
  });
});
