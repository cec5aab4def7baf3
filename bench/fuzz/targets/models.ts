import fc from 'fast-check';
import { TesseraError } from '../../../shared/errors.ts';
import { guessCard } from '../../../shared/model/guess.ts';
import { describeModel } from '../../../shared/onnx/describe.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { Plan } from '../../../shared/plan/plan.ts';
import { parsePlan } from '../../../shared/plan/validate.ts';
import { boxFits, byteLength } from '../../../shared/tensor/tensor.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { corpusOf } from '../corpus.ts';
import { editedBytes, thenEdited } from '../edits.ts';
import { editedMessage } from '../protobuf-trees.ts';
import { bytesOf, type FuzzTarget, must, same, textOf } from '../target.ts';
import { editedTree, jsonText } from '../trees.ts';

/** Errors that a user with a bad model or plan may see; any other is a fault of Tessera. */
function isFair(error: unknown, codes: RegExp): boolean {
  return error instanceof TesseraError && codes.test(error.code);
}
const MODEL_CODES = /^TESSERA_(MODEL_INVALID|MODEL_UNSUPPORTED|SHAPE)$/;
const PLAN_CODES = /^TESSERA_(PLAN_INVALID|MODEL_UNSUPPORTED)$/;

/** Depth to which the fields of a ModelProto are opened: model, graph, node, attribute, tensor, graph of an If. */
const OPENED = 7;

/** What a command does with an ONNX file before it runs it. */
export const onnx: FuzzTarget = {
  name: 'onnx',
  weight: 0.5,
  about: 'damaged and hostile ONNX files: read, resolved, described, guessed, cut, written and read again',
  limitMs: 1000,
  seeds: () => [],
  inputs: (seeds) => fc.oneof(editedMessage(seeds, OPENED), editedBytes(seeds, 256 * 1024)),
  open: () => ({
    judge(input) {
      let model: ReturnType<typeof readModel>;
      try {
        model = readModel(input);
      } catch (error) {
        if (isFair(error, /^TESSERA_MODEL_INVALID$/)) return 'refused';
        throw error;
      }
      const written = writeModel(model);
      must(same(writeModel(readModel(written)), written), 'a model changes when it is read again');
      for (const { name, dims, data } of model.graph.initializers.values()) {
        must(
          dims.every((size) => Number.isSafeInteger(size) && size >= 0),
          () => `"${name}" has sizes [${dims}]`,
        );
        if (data.kind === 'external')
          must(!/^[/\\]|(^|[/\\])\.\.([/\\]|$)/.test(data.location), () => `"${name}" lies in ${data.location}`);
      }
      try {
        guessCard(model, 'some.onnx');
      } catch (error) {
        if (!isFair(error, /^TESSERA_(MODEL_INVALID|MODEL_CARD)$/)) throw error;
      }
      try {
        const resolved = resolveModel(model);
        for (const [name, spec] of resolved.specs)
          must(
            spec.shape.every((size) => Number.isSafeInteger(size) && size >= 0),
            () => `"${name}" is [${spec.shape}]`,
          );
        describeModel(resolved);
        longestPrefix(
          resolved,
          resolved.model.graph.inputs.map((one) => one.name),
          { rows: 2, cols: 2 },
        );
        must(writeModel(resolved.model).length > 0, 'a resolved model cannot be written');
      } catch (error) {
        if (isFair(error, MODEL_CODES)) return 'refused';
        throw error;
      }
      return 'accepted';
    },
  }),
};

/** The network of the corpus that plans are made for: x -> c1 -> a -> p -> c2 -> y. */
function tinyModel() {
  return resolveModel(readModel(corpusOf('onnx')[0]!));
}

function plans(): Plan[] {
  const on = { mode: 'share', nodes: '*' } as const;
  const rest = { fallback: 'central', codec: {} } as const;
  const tiles = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [4, 4] } as const;
  const about = {
    format: 'tessera-plan/1',
    model: 'a'.repeat(64),
    source: 'central',
    strategy: 's',
    reason: 'r',
  } as const;
  return [
    {
      ...about,
      id: 'p-00000001',
      stages: [
        { id: 0, inputs: ['x'], outputs: ['y'], split: { kind: 'whole' }, on, ...rest, codec: { y: { name: 'raw' } } },
      ],
      predicted: null,
    },
    {
      ...about,
      id: 'p-00000002',
      stages: [
        { id: 0, inputs: ['x'], outputs: ['p'], split: tiles, on, ...rest },
        {
          id: 1,
          inputs: ['p'],
          outputs: ['y'],
          split: { ...tiles, padding: 'zero' },
          on: { mode: 'replicate', tier: 'edge' },
          ...rest,
          exit: { tensor: 'y', threshold: 0.5 },
        },
      ],
      predicted: { latency_ms: 5 },
    },
    {
      ...about,
      id: 'p-00000003',
      stages: [
        { id: 0, inputs: ['x'], outputs: ['a', 'p'], split: { ...tiles, rows: [8], cols: [1, 7] }, on, ...rest },
        { id: 1, inputs: ['a', 'p'], outputs: ['y'], split: { kind: 'channels', sizes: [8] }, on, ...rest },
      ],
      predicted: null,
    },
  ];
}

/** Plans as files and from the wire, through to the geometry of their tiles. */
export const plan: FuzzTarget = {
  name: 'plan',
  about: 'plans of wrong form, order and geometry: what is accepted has tiles that lie inside their tensors',
  limitMs: 1000,
  seeds: () => plans().map((one) => bytesOf(JSON.stringify(one))),
  inputs: (seeds) => {
    const trees = seeds.flatMap((seed) => {
      const tree = jsonOf(seed);
      return tree === undefined ? [] : [tree];
    });
    return thenEdited(
      editedTree(trees).map((tree) => bytesOf(jsonText(tree))),
      seeds,
    );
  },
  open: () => {
    const resolved = tinyModel();
    return {
      judge(input) {
        const value = jsonOf(input);
        let accepted: Plan;
        try {
          accepted = parsePlan(value);
        } catch (error) {
          if (isFair(error, /^TESSERA_PLAN_INVALID$/)) return 'refused';
          throw error;
        }
        must(same(parsePlan(JSON.parse(JSON.stringify(accepted))), accepted), 'a plan changes when it is read again');
        must(
          accepted.stages.every(({ id }, index) => id === index),
          'stages are out of order',
        );
        for (const stage of accepted.stages) {
          try {
            for (const tile of buildStage(resolved, stage).parts)
              for (const { tensor, box } of [...tile.in, ...tile.out]) {
                const spec = resolved.specs.get(tensor);
                must(
                  spec !== undefined && boxFits(box, spec.shape),
                  () => `tile ${tile.t_id} lies outside of ${tensor}`,
                );
                must(byteLength(spec) < 2 ** 31, 'a tensor that no machine holds');
              }
          } catch (error) {
            if (!isFair(error, PLAN_CODES)) throw error;
          }
        }
        return 'accepted';
      },
    };
  },
};

/** JSON of a text, or undefined. */
export function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(bytes));
  } catch {
    return undefined;
  }
}
