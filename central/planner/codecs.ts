import { findCodec } from '../../shared/codec/codecs.ts';
import type { CodecSpec } from '../../shared/codec/spec.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import type { ServedModel } from '../served-model.ts';
import { type CrossedCut, calibratedCodecs } from './calibrated.ts';
import { withStages } from './compose.ts';
import type { PlanningNode, Problem } from './strategy.ts';

const PACKED: CodecSpec = { name: 'packed' };

/** Whether every known node encodes and decodes a codec. */
export function isAnnounced(nodes: readonly Pick<PlanningNode, 'codecs'>[], codec: string): boolean {
  return nodes.every(({ codecs }) => codecs.includes(codec));
}

/**
 * The plan with codecs for the results of its tiles: the user's codec, else those for which the network was retrained,
 * else, where the user set a bound, calibrated ones that every known node announces. Codecs that the strategy chose are
 * kept.
 */
export function withCodecs(plan: Plan, model: ServedModel, problem: Problem): Plan {
  const { resolved } = model;
  const { codec, agreement } = problem.constraints;
  const cuts = tileCutsOf(plan, resolved);
  const isHalo = plan.stages.every(({ split }) => split.kind !== 'tiles' || split.padding === 'halo');
  // Tiles without halo change the answers in a way that was not part of the calibration.
  const bound = isHalo ? agreement : undefined;
  const { codecs, note } =
    codec === undefined ? boundCodecs(model, problem, cuts, bound) : { codecs: codecForAll(resolved, cuts, codec) };
  let isSet = false;
  const stages = plan.stages.map(({ id: _, ...stage }) => {
    if (stage.split.kind !== 'tiles') return stage;
    const chosen = Object.entries(codecs).filter(([tensor]) => stage.outputs.includes(tensor));
    isSet ||= chosen.length > 0;
    return { ...stage, codec: { ...Object.fromEntries(chosen), ...stage.codec } };
  });
  return isSet ? withStages(plan, stages, note === undefined ? [] : [note]) : plan;
}

/** The tensors of the cuts at which the tile stages of a plan end. */
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

/** The same codec for every result of a tile whose type it supports. */
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

/** Codecs that keep the user's bound, and the sentence about the bound for the plan's reason. */
function boundCodecs(
  { card, resolved }: ServedModel,
  problem: Problem,
  cuts: readonly CrossedCut[],
  bound: number | undefined,
): { codecs: Record<string, CodecSpec>; note?: string } {
  // For every grid and padding, as the rest of the network was trained on decoded values.
  const trained = Object.fromEntries(
    card.tiles.flatMap(({ after, clip, bits }): [string, CodecSpec][] =>
      clip === undefined || bits === undefined ? [] : [[after, { name: 'clip', a: clip[0], b: clip[1], bits }]],
    ),
  );
  if (bound === undefined) return { codecs: trained };
  const { calibrated, nodes } = problem;
  const lossless = isAnnounced(nodes, PACKED.name) ? PACKED : undefined;
  const { codecs, clipped } = calibratedCodecs(calibrated, lossless, resolved, cuts, bound);
  const held = `an agreement of ${Number((100 * bound).toPrecision(6))} %`;
  const missing = calibrated.length < card.calibrated.length ? ' of those that all nodes announce' : '';
  const note = clipped
    ? `results clipped within ${held}`
    : `no calibrated codec${missing} keeps ${held}: results are sent losslessly`;
  const isTrained = Object.keys(codecs).some((tensor) => Object.hasOwn(trained, tensor));
  return { codecs: { ...codecs, ...trained }, ...(isTrained ? {} : { note }) };
}
