import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { FrameStore, type PlanLayout } from '../../../central/assembly/frame-store.ts';
import { TesseraError } from '../../../shared/errors.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { resultMessage, workMessage } from '../../../shared/protocol/messages.ts';
import { openBlobStore } from '../../../shared/runtime/blob-store.ts';
import { decode, encode } from '../../../shared/runtime/cbor.ts';
import { packModel } from '../../../shared/runtime/package.ts';
import { StageRunner } from '../../../shared/runtime/stage-runner.ts';
import { boxShape, byteLength, crop, type Tensor } from '../../../shared/tensor/tensor.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { cborOf } from '../cbor-bytes.ts';
import { corpusOf } from '../corpus.ts';
import { thenEdited } from '../edits.ts';
import { type FuzzTarget, must, same } from '../target.ts';
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
    stages: [{ id: 0, inputs: ['x'], outputs: ['a', 'y'], split, on, codec: {} }],
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
  const layout: PlanLayout = {
    id: PLAN,
    specs: resolved.specs,
    stages: [
      { tiles: form.tiles.map((tile) => ({ ...tile, out: tile.out.map((region) => ({ ...region, codec: RAW })) })) },
    ],
  };
  return { resolved, form, frame, layout };
}

/** A work-result of every tile, filled with the tile's number. */
function results(): Uint8Array[] {
  const { form, layout } = scene();
  const about = { v: 1, plan: PLAN, i_id: '7-1', stage: 0, attempt: 0, n_id: 'pi-1', queue_ms: 0.5 } as const;
  const tiles = form.tiles.map((tile) => ({
    t_id: tile.t_id,
    out: tile.out.map(({ tensor, box }) => {
      const { dtype } = layout.specs.get(tensor)!;
      const shape = boxShape(box);
      return {
        tensor,
        box,
        dtype,
        shape,
        codec: RAW,
        d: new Uint8Array(byteLength({ dtype, shape })).fill(tile.t_id + 1),
      };
    }),
    compute_ms: 1.5,
  }));
  return tiles.map((tile) => encode({ ...about, tiles: [tile] }));
}

/** Results of nodes, through to the frame's tensors. */
export const result: FuzzTarget = {
  name: 'result',
  about: 'results with wrong boxes, shapes, types, sizes and names: a frame holds what was asked for, or nothing new',
  seeds: results,
  inputs: (seeds) => thenEdited(editedTree(seeds.map(treeOf)).map(cborOf), seeds),
  open: () => {
    const { form, frame, layout } = scene();
    const names = ['a', 'y'];
    return {
      judge(input) {
        let message: ReturnType<typeof resultMessage.parse>;
        try {
          message = decode(input, resultMessage, 'result');
        } catch (error) {
          if (error instanceof TesseraError) return 'refused';
          throw error;
        }
        const store = new FrameStore();
        store.open('7-1', new Map([['x', frame]]));
        let verdict: 'accepted' | 'refused' = 'refused';
        for (const tile of message.tiles) {
          // The coordinator hands over results only for tiles that were asked for.
          const asked = form.tiles[tile.t_id];
          if (!('out' in tile) || asked === undefined) continue;
          const before = names.map((name) => store.tensor('7-1', name, layout)!.data.slice());
          let pasted = true;
          try {
            store.paste('7-1', layout, 0, tile.t_id, tile.out);
          } catch (error) {
            must(error instanceof TesseraError && /^TESSERA_(MESSAGE_INVALID|CODEC)$/.test(error.code), String(error));
            pasted = false;
          }
          names.forEach((name, k) => {
            const now = store.tensor('7-1', name, layout)!;
            const region = asked.out.find(({ tensor }) => tensor === name);
            const given = tile.out.find(({ tensor }) => tensor === name);
            const expected: Tensor = { ...now, data: before[k]! };
            if (pasted && region !== undefined) {
              must(given !== undefined && same(crop(now, region.box), given.d), `${name} is not what was sent`);
              must(same(given.box, region.box) && same(given.shape, boxShape(region.box)), `${name} was moved`);
              // Outside of the tile nothing changes: put the old bytes back and compare all.
              const restored = new FrameStore();
              restored.open('r', new Map([[name, { ...now, data: now.data.slice() }]]));
              const one = {
                id: 'r',
                specs: layout.specs,
                stages: [{ tiles: [{ t_id: 0, in: [], out: [{ ...region, codec: RAW }] }] }],
              };
              restored.paste('r', one, 0, 0, [{ ...given, d: crop(expected, region.box) }]);
              must(same(restored.tensor('r', name, one)!.data, expected.data), `${name} changed outside of its tile`);
            } else must(same(now.data, expected.data), `${name} changed though its result was refused`);
          });
          if (pasted) verdict = 'accepted';
        }
        store.release('7-1');
        must(store.bytes === 0, () => `${store.bytes} bytes stay`);
        return verdict;
      },
    };
  },
};

function work(): Uint8Array[] {
  const { form, frame } = scene();
  const about = { v: 1, plan: PLAN, i_id: '7-1', stage: 0, attempt: 0, budget_ms: 500 } as const;
  return form.tiles.map((tile) =>
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
          out: tile.out.map(({ tensor, box }) => ({ tensor, box, codec: RAW })),
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
    const runner = new StageRunner({ store, threads: 1, sessionMemoryMb: 100 });
    await runner.prepare(stages(manifest.skeleton.sha), [0], manifest.skeleton.sha);
    const { form, layout } = scene();
    return {
      async judge(input) {
        let message: ReturnType<typeof workMessage.parse>;
        try {
          message = decode(input, workMessage, 'work');
        } catch (error) {
          if (error instanceof TesseraError) return 'refused';
          throw error;
        }
        let verdict: 'accepted' | 'refused' = 'refused';
        for (const tile of message.tiles.slice(0, 4)) {
          const inline = tile.in.flatMap((region) => ('d' in region ? [{ ...region, d: region.d.slice() }] : []));
          const outcome = await runner.runTile(message.plan, message.stage, { ...tile, in: inline });
          must(outcome.t_id === tile.t_id, 'an answer for another tile');
          if (!('out' in outcome)) {
            must(/^(unknown-plan|bad-input)$/.test(outcome.error.code), () => JSON.stringify(outcome.error));
            continue;
          }
          verdict = 'accepted';
          const asked = form.tiles[tile.t_id];
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
              asked.out.some((region) => region.tensor === tensor && same(region.box, box)),
              `${tensor} was moved`,
            );
            must(
              dtype === layout.specs.get(tensor)!.dtype && d.length === byteLength({ dtype, shape }),
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
