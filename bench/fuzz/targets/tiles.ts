import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { findCodec } from '../../../shared/codec/codecs.ts';
import type { ClipSpec, CodecSpec } from '../../../shared/codec/spec.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { StageRunner } from '../../../shared/node/stage-runner.ts';
import { TensorStore } from '../../../shared/node/tensor-store.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import type { PartGeometry, PlanGeometry } from '../../../shared/plan/compiled-plan.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { inlineRegions, type WireRegion } from '../../../shared/protocol/messages/region.ts';
import { resultMessage, workMessage } from '../../../shared/protocol/messages/work.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { decode, encode } from '../../../shared/runtime/cbor.ts';
import { packModel } from '../../../shared/runtime/package.ts';
import type { z } from '../../../shared/schema.ts';
import {
  type Box,
  boxShape,
  byteLength,
  contains,
  crop,
  elementCount,
  paste,
  type Tensor,
} from '../../../shared/tensor/tensor.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { cborOf } from '../cbor-bytes.ts';
import { corpusOf } from '../corpus.ts';
import { thenEdited } from '../edits.ts';
import { type FuzzTarget, must, same, type Verdict } from '../target.ts';
import { editedTree } from '../trees.ts';
import { treeOf } from './wire-messages.ts';

const RAW = { name: 'raw' } as const;
const PLAN = 'p-00000001';

function tinyModel() {
  return readModel(corpusOf('onnx')[0]!);
}

function stages(model: string): Plan {
  const on = { mode: 'share', nodes: '*' } as const;
  const split = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] } as const;
  return {
    format: 'tessera-plan/1',
    id: PLAN,
    model,
    source: 'central',
    strategy: 'fuzz',
    reason: 'fuzz',
    stages: [{ id: 0, inputs: ['x'], outputs: ['a', 'y'], split, on, fallback: 'central', codec: {} }],
    predicted: null,
  };
}

/** The geometry of the plan, and a frame that it is for. */
function scene() {
  const resolved = resolveModel(tinyModel());
  const form = buildStage(resolved, stages('a'.repeat(64)).stages[0]!);
  const spec = resolved.specs.get('x')!;
  const data = Uint8Array.from({ length: byteLength(spec) }, (_, k) => (k % 4 === 3 ? 0x3e : (k * 31) & 255));
  const frame: Tensor = { ...spec, data };
  return { resolved, form, frame };
}

const CLIP: ClipSpec = { name: 'clip', a: 0.2, b: 2, bits: 4 };

/** How results travel, by plan: as they are; packed and quantised; clipped, and held as codes. */
const FORMS: readonly { readonly plan: string; readonly codecs: Readonly<Record<string, CodecSpec>> }[] = [
  { plan: PLAN, codecs: { a: RAW, y: RAW } },
  { plan: 'p-00000002', codecs: { a: { name: 'packed' }, y: { name: 'q8', per: 'channel' } } },
  { plan: 'p-00000003', codecs: { a: { name: 'fp16' }, y: CLIP } },
];

function geometries(): Map<string, PlanGeometry> {
  const { resolved, form } = scene();
  const geometryOf = ({ codecs }: (typeof FORMS)[number]): PlanGeometry => ({
    specs: resolved.specs,
    rounding: 'smooth',
    quantised: new Map(
      Object.entries(codecs).flatMap(([name, codec]) => (codec.name === 'clip' ? [[name, codec]] : [])),
    ),
    stages: [
      {
        parts: form.parts.map((tile) => ({
          ...tile,
          out: tile.out.map((region) => ({ ...region, codec: codecs[region.tensor]! })),
        })),
      },
    ],
  });
  return new Map(FORMS.map((one) => [one.plan, geometryOf(one)]));
}

/** A work-result of every tile in every form. */
function results(): Uint8Array[] {
  return [...geometries()].flatMap(([id, { specs, stages }]) => {
    const about = { v: 1, plan: id, i_id: '7-1', stage: 0, attempt: 0, n_id: 'pi-1', queue_ms: 0.5 } as const;
    return stages[0]!.parts.map(({ t_id, out }) => {
      const regions = out.map(({ tensor, box, codec }) => {
        const { dtype } = specs.get(tensor)!;
        const shape = boxShape(box);
        const floats = Float32Array.from({ length: elementCount(shape) }, (_, k) =>
          Math.max(0, Math.sin(k + t_id) * 2),
        );
        const d = findCodec(codec.name)!.encode(new Uint8Array(floats.buffer), { dtype, shape }, codec);
        return { tensor, box, dtype, shape, codec, d };
      });
      return encode({ ...about, tiles: [{ t_id, out: regions, compute_ms: 1.5 }] });
    });
  });
}

/** The tensor with one region as it was before. */
function restored(now: Tensor, box: Box, before: Uint8Array): Uint8Array {
  const data = now.data.slice();
  paste({ ...now, data }, box, crop({ ...now, data: before }, box));
  return data;
}

/** Results of nodes, through to the frame's tensors. */
export const result: FuzzTarget = {
  name: 'result',
  about: 'results with wrong boxes, shapes, types, sizes and codecs: a frame holds what was asked for, or nothing new',
  seeds: results,
  inputs: (seeds) => thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds),
  open: () => {
    const { frame } = scene();
    const plans = geometries();
    return {
      judge(input) {
        const message = messageOf(input, resultMessage);
        const geometry = plans.get(message?.plan ?? '');
        if (message === undefined || geometry === undefined) return 'refused';
        const store = new TensorStore();
        store.open('7-1', new Map([['x', frame]]));
        let verdict: Verdict = 'refused';
        for (const tile of message.tiles) {
          // The coordinator hands over results only for tiles that were asked for.
          const asked = geometry.stages[0]!.parts[tile.t_id];
          if ('out' in tile && asked !== undefined && isPasted(store, geometry, asked, inlineRegions(tile.out)))
            verdict = 'accepted';
        }
        store.release('7-1');
        must(store.tensor('7-1', 'x', geometry) === undefined, () => 'a tensor outlives its frame');
        return verdict;
      },
    };
  },
};

/** Pastes a tile's results and checks the tensors; false where the results were refused. */
function isPasted(
  store: TensorStore,
  geometry: PlanGeometry,
  asked: PartGeometry,
  out: readonly WireRegion[],
): boolean {
  const tensors = asked.out.map((region) => ({ region, now: store.tensor('7-1', region.tensor, geometry)! }));
  const before = tensors.map(({ now }) => now.data.slice());
  try {
    store.paste('7-1', geometry, 0, asked.t_id, out);
  } catch (error) {
    must(error instanceof TesseraError && /^TESSERA_(MESSAGE_INVALID|CODEC)$/.test(error.code), String(error));
    for (const [k, { now, region }] of tensors.entries())
      must(same(now.data, before[k]!), () => `${region.tensor} changed though its result was refused`);
    return false;
  }
  for (const [k, { region, now }] of tensors.entries()) {
    const { tensor, box } = region;
    const given = out.find((one) => one.tensor === tensor);
    must(given !== undefined && same(given.box, box) && same(given.shape, boxShape(box)), `${tensor} was moved`);
    must(same(restored(now, box, before[k]!), before[k]!), () => `${tensor} changed outside of its tile`);
    const clip = geometry.quantised.get(tensor);
    const inside = crop(now, box);
    if (clip !== undefined)
      must(
        inside.every((code) => code < 2 ** clip.bits),
        () => `${tensor} holds no codes`,
      );
    else {
      must(
        given.codec.name === region.codec.name || given.codec.name === 'raw',
        `${tensor} lost more than the plan allows`,
      );
      const spec = { dtype: given.dtype, shape: given.shape };
      must(
        same(inside, findCodec(given.codec.name)!.decode(given.d, spec, given.codec)),
        `${tensor} is not what was sent`,
      );
    }
  }
  return true;
}

/** The message, or undefined where it is refused. */
function messageOf<T>(input: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    return decode(input, schema, 'input');
  } catch (error) {
    if (error instanceof TesseraError && error.code === 'TESSERA_MESSAGE_INVALID') return undefined;
    throw error;
  }
}

function work(): Uint8Array[] {
  const { form, frame } = scene();
  const about = { v: 1, plan: PLAN, i_id: '7-1', stage: 0, attempt: 0, budget_ms: 500 } as const;
  return form.parts.map((tile) =>
    encode({
      ...about,
      tiles: [
        {
          t_id: tile.t_id,
          in: tile.in.map(({ tensor, box }) => ({
            tensor,
            box,
            dtype: frame.dtype,
            shape: boxShape(box),
            codec: RAW,
            d: crop(frame, box),
          })),
          out: tile.out.map(({ tensor, box }) => ({ tensor, box, codec: RAW, to: ['central'] })),
        },
      ],
    }),
  );
}

/** Work for nodes, through the runtime. */
export const job: FuzzTarget = {
  name: 'work',
  about: 'work with wrong boxes, shapes, types and names: the tile that was meant is computed, or nothing is run',
  limitMs: 1000,
  seeds: work,
  inputs: (seeds) =>
    fc.oneof(thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds), editedTree(seeds.map(treeOf)).map(cborOf)),
  async open() {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-fuzz-'));
    const store = await openBlobStore(folder);
    const manifest = await packModel({ name: 'tiny', model: resolveModel(tinyModel()).model, store });
    const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 100 });
    await runner.prepare(stages(manifest.skeleton.sha), [0], manifest.skeleton.sha);
    const { form, resolved } = scene();
    return {
      async judge(input) {
        const message = messageOf(input, workMessage);
        if (message === undefined) return 'refused';
        let verdict: Verdict = 'refused';
        for (const tile of message.tiles.slice(0, 4)) {
          const inline = tile.in.flatMap((region) => ('d' in region ? [{ ...region, d: region.d.slice() }] : []));
          const outcome = await runner.runPart(message.plan, message.stage, { ...tile, in: inline });
          must(outcome.t_id === tile.t_id, 'an answer for another tile');
          if (!('out' in outcome)) {
            must(/^(unknown-plan|bad-input)$/.test(outcome.error.code), () => JSON.stringify(outcome.error));
            continue;
          }
          verdict = 'accepted';
          const asked = form.parts[tile.t_id];
          must(message.plan === PLAN && message.stage === 0 && asked !== undefined, 'a tile that no plan has was run');
          for (const region of asked.in)
            must(
              inline.some(
                ({ tensor, box, shape }) =>
                  tensor === region.tensor && same(box, region.box) && same(shape, boxShape(box)),
              ),
              () => `the tile was run without its input ${region.tensor}`,
            );
          for (const { tensor, box, shape, dtype, d } of outcome.out) {
            must(
              asked.out.some((region) => region.tensor === tensor && contains(region.box, box)) &&
                tile.out.some((region) => region.tensor === tensor && same(region.box, box)),
              `${tensor} was moved`,
            );
            must(
              dtype === resolved.specs.get(tensor)!.dtype && d.length === byteLength({ dtype, shape }),
              `${tensor} is short`,
            );
          }
        }
        return verdict;
      },
      async close() {
        await runner.stop();
        await rm(folder, { recursive: true });
      },
    };
  },
};
