import { TesseraError } from '../../shared/errors.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { outlinePlan } from '../../shared/plan/outline.ts';
import { channelCosts } from '../../shared/tiling/channel-form.ts';
import { channelSegment } from '../../shared/tiling/channel-segment.ts';
import { haloCosts } from '../../shared/tiling/halo-form.ts';
import { explicitCut, type Prefix, shorterPrefixes } from '../../shared/tiling/prefix.ts';
import { tileSegment } from '../../shared/tiling/segment.ts';
import { findTileable, type Tileable } from '../../shared/tiling/tileable.ts';
import { TilesBetween } from '../../shared/tiling/tiles-between.ts';
import { planningGraph } from './graph.ts';
import type { NoPlan, Problem, TileEnd, Tiler } from './strategy.ts';

/** A network as strategies see it. */
export function planningNetwork(resolved: ResolvedModel): Pick<Problem, 'graph' | 'tiler'> {
  return { graph: planningGraph(resolved), tiler: tilerOf(resolved) };
}

/** The answer, or why there is none. */
function orNoPlan<T>(answer: () => T): T | NoPlan {
  try {
    return answer();
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
    const { message: reason, hint } = error;
    return { kind: 'impossible', reason, ...(hint === undefined ? {} : { hint }) };
  }
}

/** The tiler of a network. */
function tilerOf(resolved: ResolvedModel): Tiler {
  const { graph } = resolved.model;
  const inputs = graph.inputs.map(({ name }) => name);
  const tensorsAt = (from: TileEnd | undefined): readonly string[] => from?.tensors ?? inputs;

  const between = new Map<string, TilesBetween>();
  let reach: Tileable | undefined;
  const reachOf = (): Tileable => {
    reach ??= findTileable(resolved, inputs);
    return reach;
  };

  /** Undefined where the network has no cells to tile. */
  const endOf = (from: TileEnd | undefined, { outputs, macs, reference }: Prefix): TileEnd | undefined => {
    if (reference === undefined) return undefined;
    const known = [...new Set([...(from?.known ?? inputs), ...outputs])];
    return {
      tensors: dagOf(resolved).live(known),
      outputs: graph.outputs.map(({ name }) => name).filter((name) => outputs.includes(name)),
      known,
      made: outputs,
      macs,
      cells: reference,
    };
  };

  return {
    reach: (from, grid, { leastShare, most }) =>
      shorterPrefixes(resolved, tensorsAt(from), grid, leastShare, most).flatMap((prefix) => endOf(from, prefix) ?? []),
    upTo: (from, tensors) => orNoPlan(() => endOf(from, explicitCut(resolved, tensorsAt(from), tensors))!),
    channels: (given, made) =>
      orNoPlan(() => {
        const { inputs, outputs, reference, channels, step } = channelSegment(resolved, given, made);
        return { inputs, outputs, reference, channels, step };
      }),
    slices: ({ inputs, outputs }, sizes) => channelCosts(channelSegment(resolved, inputs, outputs), sizes),
    parts: (from, to, rows, cols) => haloCosts(tileSegment(resolved, tensorsAt(from), to.made), rows, cols),
    between(places) {
      const name = places.map(({ after }) => after).join(' ');
      let found = between.get(name);
      if (found === undefined) {
        found = new TilesBetween(resolved, places, reachOf());
        between.set(name, found);
      }
      return found;
    },
    outline: (plan) => orNoPlan(() => outlinePlan(plan, resolved)),
    obstacle() {
      const [stop] = reachOf().stops;
      return stop === undefined ? 'its maps are too small' : `${stop.op} "${stop.name}" ${stop.reason}`;
    },
  };
}
