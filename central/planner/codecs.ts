import { findCodec } from '../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../shared/codec/spec.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import type { ServedModel } from '../served-model.ts';
import { type CrossedCut, calibratedCodecs } from './calibrated.ts';
import { withStages } from './compose.ts';
import type { Constraints } from './strategy.ts';

/**
 * The plan with codecs for the results of its tiles: the one that the user asked for, else those that the network was
 * retrained for, else, where the user set a bound, calibrated ones. What the strategy chose stays.
 */
export function withCodecs(plan: Plan, model: ServedModel, { codec, agreement }: Constraints): Plan {
  const { resolved } = model;
  const cuts = tileCutsOf(plan, resolved);
  const isHalo = plan.stages.every(({ split }) => split.kind !== 'tiles' || split.padding === 'halo');
  // Tiles alone change the answers in a way that calibration did not see.
  const bound = isHalo ? agreement : undefined;
  const { codecs, note } =
    codec === undefined ? boundCodecs(model, cuts, bound) : { codecs: codecForAll(resolved, cuts, codec) };
  let isSet = false;
  const pieces = plan.stages.map(({ id: _, ...piece }) => {
    if (piece.split.kind !== 'tiles') return piece;
    const chosen = Object.entries(codecs).filter(([tensor]) => piece.outputs.includes(tensor));
    isSet ||= chosen.length > 0;
    return { ...piece, codec: { ...Object.fromEntries(chosen), ...piece.codec } };
  });
  return isSet ? withStages(plan, pieces, note === undefined ? [] : [note]) : plan;
}

/** What crosses the cuts at which the tile stages of a plan end. */
function tileCutsOf({ stages }: Plan, resolved: ResolvedModel): CrossedCut[] {
  const { inputs, outputs } = resolved.model.graph;
  const known = inputs.map(({ name }) => name);
  const cuts: CrossedCut[] = [];
  for (const stage of stages) {
    known.push(...stage.outputs);
    if (stage.split.kind !== 'tiles') continue;
    const made = outputs.map(({ name }) => name).filter((name) => stage.outputs.includes(name));
    cuts.push({ tensors: dagOf(resolved).live(known), outputs: made });
  }
  return cuts;
}

/** One codec for every result of a tile that it can carry. */
function codecForAll(
  { specs }: ResolvedModel,
  cuts: readonly CrossedCut[],
  codec: CodecSpec,
): Record<string, CodecSpec> {
  const carries = (tensor: string): boolean => {
    const spec = specs.get(tensor);
    return spec !== undefined && findCodec(codec.name)!.carries(spec);
  };
  const crossed = cuts.flatMap(({ tensors, outputs }) => [...tensors, ...outputs]);
  return Object.fromEntries(crossed.filter(carries).map((tensor) => [tensor, codec]));
}

/** Codecs that hold the user's bound, and what the plan's reason says about the bound. */
function boundCodecs(
  { card, resolved }: ServedModel,
  cuts: readonly CrossedCut[],
  bound: number | undefined,
): { codecs: Record<string, CodecSpec>; note?: string } {
  // For every grid and padding: what follows such a tensor was trained on what the codec makes of it.
  const trained = Object.fromEntries(
    card.tiles.flatMap(({ after, clip, bits }): [string, CodecSpec][] =>
      clip === undefined || bits === undefined ? [] : [[after, { name: 'clip', a: clip[0], b: clip[1], bits }]],
    ),
  );
  if (bound === undefined) return { codecs: trained };
  const { codecs, clipped } = calibratedCodecs(card, resolved, cuts, bound);
  const held = `an agreement of ${Number((100 * bound).toPrecision(6))} %`;
  const note = clipped
    ? `results clipped within ${held}`
    : `nothing calibrated holds ${held}: results travel without loss`;
  const isTrained = Object.keys(codecs).some((tensor) => Object.hasOwn(trained, tensor));
  return { codecs: { ...codecs, ...trained }, ...(isTrained ? {} : { note }) };
}
