import { findCodec } from '../../shared/codec/codecs.ts';
import { sameCodec } from '../../shared/codec/spec.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan, Stage } from '../../shared/plan/plan.ts';

/** Whether a network was retrained for tiles that run alone, or for clipped results. */
export function isRetrained({ tiles }: Pick<ModelCard, 'tiles'>): boolean {
  return tiles.some(({ padding, clip }) => padding === 'zero' || clip !== undefined);
}

/**
 * Whether a plan's predictions may differ from what they are to equal: the whole network, or for a retrained network
 * the form in which it was trained, its tiles alone with clipped results. Whatever runs a retrained network otherwise,
 * whole or with halos, is approximate.
 */
export function isApproximate({ plan, approximate, bound }: CompiledPlan, card: Pick<ModelCard, 'tiles'>): boolean {
  if (!isRetrained(card)) return approximate;
  return 'unbounded' in bound || !isAsTrained(plan, card);
}

/** Whether the stages of a plan that change results are those of model.yaml, in their order. */
function isAsTrained({ stages }: Plan, { tiles }: Pick<ModelCard, 'tiles'>): boolean {
  const changing = stages.filter(changesResults);
  const trained = tiles.filter(({ padding, clip }) => padding === 'zero' || clip !== undefined);
  return changing.length === trained.length && trained.every((entry, at) => isEntry(changing[at]!, entry));
}

function changesResults(stage: Stage): boolean {
  const isAlone = stage.split.kind === 'tiles' && stage.split.padding === 'zero';
  return isAlone || Object.values(stage.codec).some(({ name }) => findCodec(name)?.lossless === false);
}

function isEntry(
  { split, outputs, codec }: Stage,
  { after, grid, padding, clip, bits }: ModelCard['tiles'][number],
): boolean {
  const sent = codec[after];
  const isSent =
    clip === undefined
      ? sent === undefined || findCodec(sent.name)?.lossless === true
      : sent !== undefined && sameCodec(sent, { name: 'clip', a: clip[0], b: clip[1], bits: bits! });
  if (outputs.length !== 1 || outputs[0] !== after || !isSent) return false;
  // Where a tile ends does not change results with halos.
  if (padding === 'halo') return split.kind !== 'tiles' || split.padding === 'halo';
  if (split.kind !== 'tiles' || split.padding !== 'zero') return false;
  return [split.rows, split.cols].every((sizes, axis) => sizes.length === grid[axis] && new Set(sizes).size === 1);
}
