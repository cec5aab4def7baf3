import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCodec } from '../../../shared/codec/codecs.ts';
import type { ClipSpec } from '../../../shared/codec/spec.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { TensorStore } from '../../../shared/node/tensor-store.ts';
import type { Model } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import type { CompiledPlan, PlanGeometry } from '../../../shared/plan/compiled-plan.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import type { BlobStore } from '../../../shared/ports.ts';
import type { WireRegion } from '../../../shared/protocol/messages/region.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { loadSession } from '../../../shared/runtime/ort.ts';
import { packModel } from '../../../shared/runtime/package.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';
import { tinyInput, tinyNetwork } from '../../support/tiny-network.ts';

/**
 * A clipped tensor is quantised by the runtime, kept as codes, and taken as codes: three places that have to mean the
 * same by a code, or a retrained network answers something else on the cluster than where it was trained.
 */

let folder: string;
let store: BlobStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-codes-'));
  store = await openBlobStore(folder);
});
afterAll(() => rm(folder, { recursive: true }));

function withOpset(opset: number): Model {
  return resolveModel({ ...tinyNetwork(), opsets: new Map([['', opset]]) }).model;
}

/** x in tiles to `p`, `p` sent clipped; the rest in tiles or whole. */
function planOf(model: string, clip: ClipSpec, rest: Plan['stages'][number]['split']): Plan {
  const on = { mode: 'share', nodes: '*' } as const;
  const fallback = 'central';
  const tiles = { kind: 'tiles', padding: 'halo', rows: [4, 4], cols: [3, 5] } as const;
  return {
    format: 'tessera-plan/1',
    id: 'p-00c0de5',
    model,
    source: 'central',
    strategy: 'test',
    reason: 'test',
    stages: [
      { id: 0, inputs: ['x'], outputs: ['p'], split: tiles, on, fallback, codec: { p: clip } },
      { id: 1, inputs: ['p'], outputs: ['y'], split: rest, on, fallback, codec: {} },
    ],
    predicted: null,
  };
}

interface Ran {
  readonly y: Float32Array;
  readonly p: Tensor;
  readonly sent: WireRegion[];
  readonly compiled: CompiledPlan;
}

/** Runs a frame through central's store and a node's runner; `own`: as central's own executor. */
async function runPlan(model: Model, clip: ClipSpec, rest: Plan['stages'][number]['split'], own = false): Promise<Ran> {
  const manifest = await packModel({ name: 'tiny', model, store });
  const plan = planOf(manifest.skeleton.sha, clip, rest);
  const resolved = resolveModel(model);
  const compiled = compilePlan(plan, resolved);
  const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 100 });
  const frames = new TensorStore();
  const sent: WireRegion[] = [];
  try {
    await runner.prepare(plan, [0, 1], manifest.skeleton.sha);
    frames.open('1-1', new Map([['x', tinyInput()]]));
    for (const [stage, { parts }] of compiled.stages.entries())
      for (const { t_id } of parts) {
        const [work] = frames.pack('1-1', compiled, stage, [t_id], own)!;
        const outcome = await runner.runPart(plan.id, stage, work!);
        if ('error' in outcome) throw new Error(outcome.error.text);
        sent.push(...work!.in, ...outcome.out);
        frames.paste('1-1', compiled, stage, t_id, outcome.out);
      }
    const y = frames.tensor('1-1', 'y', compiled)!;
    return { y: new Float32Array(y.data.slice().buffer), p: frames.tensor('1-1', 'p', compiled)!, sent, compiled };
  } finally {
    await runner.stop();
  }
}

/** The network's output when `p` is encoded and decoded by the codec itself. */
async function expectedOf(model: Model, clip: ClipSpec): Promise<{ codes: Uint8Array; y: Float32Array }> {
  const cut = (inputs: string[], outputs: string[], nodes: Model['graph']['nodes']): Model => ({
    ...model,
    graph: {
      ...model.graph,
      nodes,
      inputs: inputs.map((name) => ({ name, dtype: 'float32', elementType: 1, shape: undefined })),
      outputs: outputs.map((name) => ({ name, dtype: 'float32', elementType: 1, shape: undefined })),
    },
  });
  const head = await loadSession(writeModel(cut(['x'], ['p'], model.graph.nodes.slice(0, 3))), { threads: 1 });
  const tail = await loadSession(writeModel(cut(['p'], ['y'], model.graph.nodes.slice(3))), { threads: 1 });
  const p = (await head.run(new Map([['x', tinyInput()]]))).get('p')!;
  const { encode, decode } = findCodec('clip')!;
  const data = decode(encode(p.data, p, clip), p, clip);
  const y = (await tail.run(new Map([['p', { ...p, data }]]))).get('y')!;
  const step = (clip.b - clip.a) / (2 ** clip.bits - 1);
  const codes = Uint8Array.from(new Float32Array(data.slice().buffer), (value) =>
    Math.round((value - (clip.base ?? 0)) / step),
  );
  return { codes, y: new Float32Array(y.data.slice().buffer) };
}

const PUBLISHED: ClipSpec = { name: 'clip', a: 0.2, b: 1.4, bits: 4 };

describe('a clipped tensor between two stages', () => {
  it.each([
    { opset: 17, clip: PUBLISHED, name: 'a, b and 4 bits' },
    { opset: 17, clip: { ...PUBLISHED, a: 0, bits: 8 }, name: 'from 0 with 8 bits' },
    { opset: 17, clip: { ...PUBLISHED, a: -0.3, base: -0.3, bits: 6 }, name: 'values that keep their places' },
    { opset: 10, clip: PUBLISHED, name: 'Clip with attributes' },
    { opset: 8, clip: PUBLISHED, name: "the runtime's own QuantizeLinear" },
  ])('opset $opset, $name: what PyTorch and the codec say', async ({ opset, clip }) => {
    const model = withOpset(opset);
    const expected = await expectedOf(model, clip);
    for (const rest of [{ kind: 'whole' }, { kind: 'tiles', padding: 'halo', rows: [5, 3], cols: [8] }] as const) {
      const { y, p } = await runPlan(model, clip, rest);
      expect([p.dtype, p.data.length]).toEqual(['uint8', 16 * 64]);
      // A value exactly between two codes may round either way.
      expect(p.data.filter((code, i) => code !== expected.codes[i]).length).toBeLessThanOrEqual(1);
      expect(expected.y.some((value) => value > 0)).toBe(true);
      y.forEach((value, i) => {
        expect(value).toBeCloseTo(expected.y[i]!, 3);
      });
    }
  });

  it('is sent encoded both ways, and is small', async () => {
    const { sent } = await runPlan(withOpset(17), PUBLISHED, {
      kind: 'tiles',
      padding: 'halo',
      rows: [4, 4],
      cols: [8],
    });
    const ofP = sent.filter(({ tensor }) => tensor === 'p');
    expect(new Set(ofP.map(({ codec }) => codec.name))).toEqual(new Set(['clip']));
    expect(ofP.every(({ dtype }) => dtype === 'float32')).toBe(true);
    const [bytes, values] = ofP.reduce(
      ([d, n], { d: data, shape }) => [d + data.length, n + shape.reduce((a, b) => a * b)],
      [0, 0],
    );
    expect(bytes).toBeLessThan(values / 2);
  });

  it("goes to central's own executor and back as codes, without coding", async () => {
    const { sent, y } = await runPlan(withOpset(17), PUBLISHED, { kind: 'whole' }, true);
    const ofP = sent.filter(({ tensor }) => tensor === 'p');
    expect(
      ofP.every(
        ({ codec, dtype, d, shape }) =>
          codec.name === 'raw' && dtype === 'uint8' && d.length === shape.reduce((a, b) => a * b),
      ),
    ).toBe(true);
    expect(y).toEqual((await runPlan(withOpset(17), PUBLISHED, { kind: 'whole' })).y);
  });
});

describe("central's store of codes", () => {
  const clip: ClipSpec = { name: 'clip', a: -1, b: 1, bits: 4, base: -1 };
  const box: [number, number][] = [[0, 4]];
  const geometry: PlanGeometry = {
    rounding: 'smooth',
    specs: new Map([['t', { dtype: 'float32', shape: [4] }]]),
    quantised: new Map([['t', clip]]),
    stages: [{ parts: [{ t_id: 0, in: [], out: [{ tensor: 't', box, codec: clip }] }] }],
  };
  const opened = (): TensorStore => {
    const frames = new TensorStore();
    frames.open('1-1', new Map());
    return frames;
  };
  const region = (change: Partial<WireRegion>): WireRegion[] => [
    { tensor: 't', box, dtype: 'float32', shape: [4], codec: clip, d: new Uint8Array(0), ...change },
  ];

  it('takes missing values for 0, whatever code that is, and counts a byte per value', () => {
    const frames = opened();
    const data = Uint8Array.of(8, 8, 8, 8);
    expect(frames.tensor('1-1', 't', geometry)).toEqual({ dtype: 'uint8', shape: [4], data });
  });

  it('accepts raw values from a node that cannot clip', () => {
    const frames = opened();
    const d = new Uint8Array(Float32Array.of(-1, -0.5, 0.2, 7).buffer);
    frames.paste('1-1', geometry, 0, 0, region({ codec: { name: 'raw' }, d }));
    expect([...frames.tensor('1-1', 't', geometry)!.data]).toEqual([0, 4, 9, 15]);
  });

  it.each([
    ['another clip than the plan has', { codec: { ...clip, b: 2 } }],
    [
      'a code that is none',
      { codec: { name: 'raw' as const }, dtype: 'uint8' as const, d: Uint8Array.of(0, 1, 2, 16) },
    ],
    ['data cut off', { d: new Uint8Array(0) }],
    ['bytes that claim to be clipped codes', { dtype: 'uint8' as const, d: Uint8Array.of(0, 1, 2, 3) }],
  ])('refuses %s', (_, change) => {
    const frames = opened();
    expect(() => frames.paste('1-1', geometry, 0, 0, region(change))).toThrow();
    expect([...frames.tensor('1-1', 't', geometry)!.data]).toEqual([8, 8, 8, 8]);
  });
});
