import { TesseraError } from '../../shared/errors.ts';
import { nodeMacs } from '../../shared/onnx/cost.ts';
import { dagOf } from '../../shared/onnx/dag.ts';
import { extractSegment } from '../../shared/onnx/extract.ts';
import type { ResolvedModel } from '../../shared/onnx/model.ts';
import { CENTRAL, type ExitRule, type Plan } from '../../shared/plan/plan.ts';
import type { ServedModel } from '../served-model.ts';
import { onCentral, type StageDraft, withStages } from './compose.ts';

/**
 * Early exits: heads that branch off the network. Central computes them as soon as the tensors that they read are
 * complete. Plans are made for the network without the heads (its trunk); then each exit gets a stage of its own where
 * that is possible.
 */

/** The model without the heads of exits: then tiles need not send a tensor that only a head reads. */
export function withoutExits(served: ServedModel): ServedModel {
  const { card, resolved, input, outputs } = served;
  return card.exits.length === 0 ? served : { ...served, resolved: extractSegment(resolved, [input.name], outputs) };
}

/** Where heads branch off the trunk: for each exit the trunk's tensors that its head reads, the earliest first. */
export function exitPlaces({ card, resolved, input, outputs }: ServedModel): string[][] {
  const trunk = dagOf(resolved).between([input.name], outputs);
  const made = namesMade(resolved, trunk);
  const depth = (tensors: readonly string[]): number => dagOf(resolved).between([input.name], tensors).size;
  return card.exits
    .map(({ tensor }) => {
      const head = [...dagOf(resolved).between([input.name], [tensor])].filter((index) => !trunk.has(index));
      return [...namesRead(resolved, head)].filter((name) => made.has(name));
    })
    .filter((tensors) => tensors.length > 0)
    .sort((a, b) => depth(a) - depth(b));
}

/**
 * The plan with a stage on central for every exit of model.yaml, right after the stage that completes the tensors of
 * its head. A stage on central that contains an exit is split there. An exit whose head would need central to repeat
 * computation of a stage on nodes is left out, and the plan's reason says so.
 */
export function withExits(plan: Plan, { card, resolved, input, outputs }: ServedModel): Plan {
  if (card.exits.length === 0) return plan;
  const trunk = dagOf(resolved).between([input.name], outputs);
  const depth = ({ tensor }: ExitRule): number =>
    [...dagOf(resolved).between([input.name], [tensor])].filter((index) => trunk.has(index)).length;
  let stages: readonly StageDraft[] = plan.stages.map(({ id: _, ...stage }) => stage);
  const notes: string[] = [];
  // The deepest first: of several exits at one position each next one is inserted before it.
  const sorted = [...card.exits.entries()].sort(([i, a], [j, b]) => depth(b) - depth(a) || j - i);
  for (const [index, exit] of sorted) {
    const at = placeOf(resolved, input.name, stages, exit.tensor);
    if (at === undefined) notes[index] = `exit ${index} is not used: its head starts within a stage on nodes`;
    else {
      stages = insert({ resolved, input: input.name, card }, stages, at, exit);
      notes[index] = `may end at exit ${index}`;
    }
  }
  return withStages(plan, stages, notes);
}

/**
 * Checks the exits of a plan: results name an exit by its index in model.yaml. Throws TESSERA_PLAN_INVALID for one that
 * model.yaml does not have.
 */
export function checkPlanExits({ stages }: Plan, { name, card }: ServedModel): void {
  for (const { id, exit } of stages)
    if (exit !== undefined && !card.exits.some(({ tensor }) => tensor === exit.tensor))
      throw new TesseraError('TESSERA_PLAN_INVALID', `stage ${id}: model "${name}" has no exit "${exit.tensor}"`, {
        hint: 'name it under exits in model.yaml',
      });
}

function namesMade({ model }: ResolvedModel, nodes: Iterable<number>): Set<string> {
  return new Set([...nodes].flatMap((index) => model.graph.nodes[index]!.outputs));
}

function namesRead(resolved: ResolvedModel, nodes: Iterable<number>): Set<string> {
  return new Set([...nodes].flatMap((index) => dagOf(resolved).reads[index]!));
}

function isOnCentral({ split, on }: StageDraft): boolean {
  return split.kind === 'whole' && 'nodes' in on && on.nodes !== '*' && on.nodes.every((node) => node === CENTRAL);
}

/** Tensors that exist before the stage with this index, in the order in which they are made. */
function knownBefore(input: string, stages: readonly StageDraft[], index: number): string[] {
  return [input, ...stages.slice(0, index).flatMap(({ outputs }) => outputs)];
}

/** Index of the first stage before which central can compute the tensor without a product that nodes compute. */
function placeOf(
  resolved: ResolvedModel,
  input: string,
  stages: readonly StageDraft[],
  tensor: string,
): number | undefined {
  const { nodes } = resolved.model.graph;
  const onNodes = new Set<number>();
  for (const stage of stages)
    if (!isOnCentral(stage))
      for (const index of dagOf(resolved).between(stage.inputs, stage.outputs))
        if (nodeMacs(resolved, nodes[index]!) > 0) onNodes.add(index);
  const found = stages.findIndex((_, at) =>
    [...dagOf(resolved).between(knownBefore(input, stages, at), [tensor])].every((index) => !onNodes.has(index)),
  );
  return found === -1 ? undefined : found;
}

type Network = Pick<ServedModel, 'resolved' | 'card'> & { readonly input: string };

/**
 * The stages with one for the exit before position `at`. It also outputs the tensors that later stages on central need
 * of its computation.
 */
function insert(
  { resolved, input, card }: Network,
  stages: readonly StageDraft[],
  at: number,
  { tensor, threshold }: ExitRule,
): StageDraft[] {
  const known = knownBefore(input, stages, at);
  const own = dagOf(resolved).between(known, [tensor]);
  const wanted = new Set<string>();
  stages.forEach((stage, index) => {
    if (index < at || !isOnCentral(stage)) return;
    const nodes = dagOf(resolved).between(knownBefore(input, stages, index), stage.outputs);
    const read = namesRead(
      resolved,
      [...nodes].filter((node) => !own.has(node)),
    );
    for (const name of [...read, ...stage.outputs]) wanted.add(name);
  });
  const isExit = (name: string): boolean => card.exits.some((exit) => exit.tensor === name);
  // Nodes may still output what costs them nothing (see placeOf); then the stage of the exit need not.
  const fromNodes = new Set(stages.flatMap((stage) => (isOnCentral(stage) ? [] : stage.outputs)));
  const passed = [...namesMade(resolved, own)].filter(
    (name) => wanted.has(name) && resolved.specs.has(name) && !isExit(name) && !fromNodes.has(name),
  );
  const made: StageDraft[] = [
    ...stages.slice(0, at),
    {
      inputs: inputsOf(resolved, known, [tensor]),
      outputs: [tensor, ...passed],
      split: { kind: 'whole' },
      on: onCentral,
      fallback: 'central',
      codec: {},
      exit: { tensor, threshold },
    },
  ];
  for (const stage of stages.slice(at)) {
    if (!isOnCentral(stage)) {
      made.push(stage);
      continue;
    }
    const outputs = stage.outputs.filter((name) => !passed.includes(name));
    const inputs = inputsOf(resolved, knownBefore(input, made, made.length), outputs);
    if (outputs.length > 0) made.push({ ...stage, inputs, outputs });
  }
  return made;
}

/** Those of the available tensors from which the outputs are computed. */
function inputsOf(resolved: ResolvedModel, known: readonly string[], outputs: readonly string[]): string[] {
  const read = namesRead(resolved, dagOf(resolved).between(known, outputs));
  return known.filter((name) => read.has(name));
}
