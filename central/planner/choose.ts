import { type CodecSpec, findCodec } from '../../shared/codec/codec.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { cheapestPrefix } from '../../shared/tiling/cheapest-prefix.ts';
import { type Grid, gridSizes } from '../../shared/tiling/grid.ts';
import { explicitCut, longestPrefix, type Prefix, shorterPrefixes } from '../../shared/tiling/prefix.ts';
import { findTileable } from '../../shared/tiling/tileable.ts';
import type { ServedModel } from '../served-model.ts';
import { calibratedCodecs, calibratedCut } from './calibrated.ts';
import { cutAtExit, exitPlaces, withExits, withoutExits } from './exits.ts';
import { type Cut, type Problem, STRATEGIES } from './strategies.ts';
import { gridFor, gridWithin, unaskedCut } from './unasked.ts';

/** What the user said about how to cut a network; everything that is absent is chosen. */
export interface PlanRequest {
  /** Node agents that will take part, for the grid's size. */
  readonly nodeCount: number;
  /** Processors that all of them share, where they are on one machine. */
  readonly sharedCores?: number | undefined;
  /** Which nodes may be asked; default all. */
  readonly nodes?: readonly string[] | '*';
  readonly strategy?: string;
  readonly grid?: Grid;
  readonly padding?: 'zero' | 'halo';
  /** Tensors after which a tile stage ends (several, where several leave it), in order; default: what is done soonest, at least 85 % of the convolutions that tiles reach (`halo`), or all of it (`zero`). */
  readonly cuts?: readonly (string | readonly string[])[];
  /** How every float32 result of a tile travels; default: what model.yaml says, else as it is. */
  readonly codec?: CodecSpec | undefined;
  /**
   * Least agreement with the uncompressed network (0..1). Where nobody retrained the network, its tiles then end where
   * model.yaml has the smallest calibrated setting that holds it, and what has none travels without loss.
   */
  readonly agreement?: number | undefined;
  /** Whether frames may end at the exits of model.yaml; default true. */
  readonly exits?: boolean;
}

/** Where a stage ends by itself: `half` where it has near half of the convolutions, `end` where tiling ends. */
type Automatic = 'half' | 'end';

function beginning(
  resolved: ResolvedModel,
  from: readonly string[],
  grid: Grid,
  place: Automatic,
  { padding }: PlanRequest,
): Prefix {
  if (place === 'half') return shorterPrefixes(resolved, from, grid, 0.4, 8).at(-1)!;
  // Without halo a longer stage costs nothing more.
  return padding === 'zero' ? longestPrefix(resolved, from, grid) : cheapestPrefix(resolved, from, grid);
}

/** Why a network cannot be tiled as it was asked for. */
function untileable({ name, resolved, input }: ServedModel, { rows, cols }: Grid): TesseraError {
  const [stop] = findTileable(resolved, [input.name]).stops;
  const why = stop === undefined ? 'its maps are too small' : `${stop.op} "${stop.name}" ${stop.reason}`;
  return new TesseraError('TESSERA_PLAN_INVALID', `model "${name}" cannot be cut into ${rows}x${cols} tiles: ${why}`, {
    hint: 'leave --grid away: the network then runs whole; `tessera model inspect` shows how far tiles reach',
  });
}

/** Places to cut, with one grid for each; where there are more places than grids, the first serves. */
function cutsFor(
  deployment: ServedModel,
  request: PlanRequest & { readonly exitPlaces?: readonly string[][] },
  grids: readonly [Grid, ...Grid[]],
): Cut[] {
  const { resolved } = deployment;
  const { graph } = resolved.model;
  const known = new Set(graph.inputs.map((input) => input.name));
  let from = [...known];
  const cuts: Cut[] = [];
  const automatic: Automatic[] = request.strategy === 'two-stage' ? ['half', 'end'] : ['end'];
  const places = request.cuts?.map((place) => [place].flat()) ?? [...(request.exitPlaces ?? []), ...automatic];
  for (const [index, place] of places.entries()) {
    const grid = grids[index] ?? grids[0];
    const prefix =
      typeof place === 'string'
        ? beginning(resolved, from, grid, place, request)
        : (request.cuts === undefined ? cutAtExit : explicitCut)(resolved, from, place, grid);
    if (prefix?.reference === undefined) continue;
    const cut = {
      tensors: dagOf(resolved).live([...known, ...prefix.outputs]),
      outputs: graph.outputs.map((output) => output.name).filter((name) => prefix.outputs.includes(name)),
    };
    // Where only heads of exits want what the stage would make, tiles do not come together.
    const isForHeads = !prefix.outputs.some((made) => cut.tensors.includes(made) || cut.outputs.includes(made));
    if (request.cuts === undefined && isForHeads) continue;
    for (const output of prefix.outputs) known.add(output);
    const { rows, cols, tensor } = prefix.reference;
    cuts.push({ ...cut, ...gridSizes(grid, rows, cols, tensor) });
    from = cut.tensors;
  }
  return cuts;
}

/** What model.yaml says about the tiles that the network was retrained for. */
function retrainedFor({ card }: ServedModel): Pick<PlanRequest, 'padding' | 'cuts'> & { grids?: [Grid, ...Grid[]] } {
  const gridOf = ({ grid: [rows, cols] }: ModelCard['tiles'][number]): Grid => ({ rows, cols });
  const [first, ...more] = card.tiles;
  if (first === undefined) return { padding: 'halo' };
  const grids: [Grid, ...Grid[]] = [gridOf(first), ...more.map(gridOf)];
  return { grids, padding: first.padding, cuts: card.tiles.map((tile) => tile.after) };
}

/**
 * How the tensors travel that model.yaml names clip bounds for. That holds for every grid and padding: what follows such
 * a tensor was trained on what the codec makes of it.
 */
function trainedCodecs({ card }: ServedModel): Record<string, CodecSpec> {
  return Object.fromEntries(
    card.tiles.flatMap(({ after, clip, bits }) =>
      clip === undefined || bits === undefined ? [] : [[after, { name: 'clip', a: clip[0], b: clip[1], bits }]],
    ),
  );
}

/** The codec that the user asked for, for every result of a tile that it can carry. */
function askedCodecs({ resolved }: ServedModel, cuts: readonly Cut[], codec: CodecSpec): Record<string, CodecSpec> {
  const carries = (tensor: string): boolean => {
    const spec = resolved.specs.get(tensor);
    return spec !== undefined && findCodec(codec.name)!.carries(spec);
  };
  const made = cuts.flatMap(({ tensors, outputs }) => [...tensors, ...outputs]);
  return Object.fromEntries(made.filter(carries).map((tensor) => [tensor, codec]));
}

/** Where the network was calibrated to be cut, for a bound that the user set without saying where to cut. */
function calibratedPlace(
  { card, resolved, input }: ServedModel,
  { strategy = 'tiles-prefix', codec }: PlanRequest,
  grid: Grid,
  bound: number | undefined,
): string[][] | undefined {
  if (bound === undefined || codec !== undefined || strategy !== 'tiles-prefix') return undefined;
  const tensors = calibratedCut(card, { resolved, inputs: [input.name] }, grid, bound);
  return tensors === undefined ? undefined : [tensors];
}

/** What is chosen where neither the user nor model.yaml says a grid or a place to cut. */
interface ChosenTiles {
  readonly grids: readonly [Grid, ...Grid[]];
  /** Absent: the strategy's own places. */
  readonly cuts?: PlanRequest['cuts'];
  readonly note?: string | undefined;
}

/** The same where one of both is said. */
function givenTiles(
  deployment: ServedModel,
  request: PlanRequest,
  grids: readonly [Grid, ...Grid[]],
  cuts: PlanRequest['cuts'],
  bound: number | undefined,
): ChosenTiles {
  const places = cuts ?? calibratedPlace(deployment, request, grids[0], bound);
  return places === undefined ? { grids } : { grids, cuts: places };
}

function chosenTiles(
  deployment: ServedModel,
  request: PlanRequest,
  bound: number | undefined,
  hasExits: boolean,
): ChosenTiles {
  const { nodeCount, strategy, padding } = request;
  const all = gridFor(nodeCount);
  const calibrated = calibratedPlace(deployment, request, all, bound);
  if (calibrated !== undefined) return { grids: [gridWithin(deployment, calibrated[0]!, nodeCount)], cuts: calibrated };
  if (strategy !== undefined || padding === 'zero' || nodeCount <= 1) return { grids: [all] };
  const { grid, cuts, note } = unaskedCut(deployment, nodeCount, request.sharedCores);
  return hasExits ? { grids: [grid] } : { grids: [grid], cuts, note };
}

/** How results of tiles travel, and what the plan's reason says of it where the user set a bound. */
function codecsFor(
  deployment: ServedModel,
  { codec }: PlanRequest,
  cuts: readonly Cut[],
  bound: number | undefined,
): { codecs: Record<string, CodecSpec>; note?: string } {
  if (codec !== undefined) return { codecs: askedCodecs(deployment, cuts, codec) };
  const trained = trainedCodecs(deployment);
  if (bound === undefined) return { codecs: trained };
  const { codecs, clipped } = calibratedCodecs(deployment.card, deployment.resolved, cuts, bound);
  const held = `an agreement of ${Number((100 * bound).toPrecision(6))} %`;
  const note = clipped
    ? `results clipped within ${held}`
    : `nothing calibrated holds ${held}: results travel without loss`;
  return {
    codecs: { ...codecs, ...trained },
    ...(Object.keys(codecs).some((key) => Object.hasOwn(trained, key)) ? {} : { note }),
  };
}

/**
 * Makes the plan that the user asked for, with its geometry. Throws TesseraError: TESSERA_USAGE for an unknown
 * strategy, TESSERA_PLAN_INVALID where the grid or the cut does not fit the network.
 */
export function choosePlan(whole: ServedModel, request: PlanRequest): CompiledPlan {
  const deployment = withoutExits(whole);
  const { tiles } = deployment.card;
  // Two stages that the network was not retrained for are left to be chosen, as are those of another padding.
  const isTrainedFor =
    (request.padding === undefined || request.padding === tiles[0]?.padding) &&
    (request.strategy !== 'two-stage' || tiles.length > 1);
  const defaults = isTrainedFor ? retrainedFor(deployment) : {};
  const asGiven = request.grid === undefined ? defaults.grids : ([request.grid] as const);
  const padding = request.padding ?? defaults.padding ?? 'halo';
  // Tiles alone change the answers in a way that calibration did not see.
  const bound = padding === 'halo' ? request.agreement : undefined;
  const { names } = deployment;
  const asKnown = request.cuts?.map((place) => [place].flat().map((tensor) => names.inner(tensor)));
  const said = asKnown ?? defaults.cuts;
  // Where nothing is said about where to cut, tiles come together at each exit.
  const exits = request.exits !== false && request.strategy === undefined ? exitPlaces(whole) : [];
  const {
    grids,
    cuts,
    note: uncut,
  } = said === undefined && asGiven === undefined
    ? chosenTiles(deployment, { ...request, padding }, bound, exits.length > 0)
    : givenTiles(deployment, request, asGiven ?? [gridFor(request.nodeCount)], said, bound);
  const asked = { ...request, padding, exitPlaces: exits, ...(cuts === undefined ? {} : { cuts }) };
  const found = cutsFor(deployment, asked, grids);
  if (found.length === 0 && request.grid !== undefined && !request.strategy?.startsWith('whole'))
    throw untileable(deployment, request.grid);
  const name = request.strategy ?? ['whole-replicate', 'tiles-prefix', 'two-stage'][found.length] ?? 'tile-stages';
  const strategy = STRATEGIES.get(name);
  if (strategy === undefined)
    throw new TesseraError('TESSERA_USAGE', `no strategy "${name}"`, {
      hint: `known: ${[...STRATEGIES.keys()].join(', ')}`,
    });
  const { codecs, note: coded } = codecsFor(deployment, request, found, bound);
  const problem: Problem = {
    model: deployment.manifest.skeleton.sha,
    source: 'central',
    inputs: [deployment.input.name],
    outputs: deployment.outputs,
    cuts: found,
    padding,
    codecs,
    nodes: request.nodes ?? '*',
  };
  const plan: Plan | undefined = strategy.make(problem)[0];
  if (plan === undefined)
    throw new TesseraError('TESSERA_PLAN_INVALID', `strategy "${name}" has no plan for model "${deployment.name}"`, {
      hint: '`tessera model inspect` shows where the network can be cut',
    });
  const isSpread = plan.stages.some(({ codec }) => Object.keys(codec).length > 0);
  const note = isSpread ? coded : found.length === 0 ? uncut : undefined;
  const noted = note === undefined ? plan : { ...plan, reason: `${plan.reason}; ${note}` };
  return compilePlan(request.exits === false ? noted : withExits(noted, whole), whole.resolved);
}
