import { TesseraError } from '../errors.ts';
import { dagOf } from './dag.ts';
import type { GraphNode, ResolvedModel, ValueInfo } from './model.ts';
import { valueInfo } from './value-info-proto.ts';

function uncuttable(what: string, hint: string): TesseraError {
  return new TesseraError('TESSERA_PLAN_INVALID', what, { hint });
}

/**
 * A sub-model with these inputs and outputs: the nodes that make `outputs` from `inputs`, and the initializers that
 * they read. An input that no node reads stays an input, so that a stage can be fed as its plan says. Throws
 * TESSERA_PLAN_INVALID, naming the tensor, where an output depends on a tensor that is not among the inputs, is
 * unknown, or is itself an input.
 */
export function extractSegment(
  resolved: ResolvedModel,
  inputs: readonly string[],
  outputs: readonly string[],
): ResolvedModel {
  const { graph } = resolved.model;
  const given = new Set(inputs);
  const declaredInputs = inputs.map((name) => inputInfo(resolved, name));
  const dag = dagOf(resolved);
  const chosen = dag.between(inputs, outputs);
  const read = new Set([...outputs, ...[...chosen].flatMap((index) => dag.reads[index]!)]);
  const constants = new Map([...graph.initializers].filter(([name]) => read.has(name) && !given.has(name)));
  const nodes: GraphNode[] = graph.nodes.filter((_, index) => chosen.has(index));
  for (const node of nodes) {
    const twice = node.outputs.find((name) => given.has(name));
    if (twice === undefined) continue;
    throw uncuttable(
      `The segment reads "${twice}" as an input and also makes it, together with other outputs of ${node.op} "${node.name}".`,
      'Take all outputs of that operator as inputs, or none.',
    );
  }
  const alive = new Set([...given, ...constants.keys(), ...nodes.flatMap((node) => node.outputs)]);
  return {
    model: {
      ...resolved.model,
      graph: {
        ...graph,
        nodes,
        initializers: constants,
        inputs: declaredInputs,
        outputs: outputs.map((name) => outputInfo(resolved, given, name)),
      },
    },
    specs: new Map([...resolved.specs].filter(([name]) => alive.has(name))),
  };
}

function inputInfo(resolved: ResolvedModel, name: string): ValueInfo {
  const spec = resolved.specs.get(name);
  const declared = resolved.model.graph.inputs.find((input) => input.name === name);
  if (declared !== undefined) return declared;
  if (spec !== undefined) return valueInfo(name, spec);
  throw uncuttable(
    `The model cannot be cut at "${name}": no such tensor exists, or its shape is unknown before a run.`,
    'List the tensors where it can be cut with `tessera model inspect`.',
  );
}

function outputInfo(resolved: ResolvedModel, given: ReadonlySet<string>, name: string): ValueInfo {
  if (given.has(name))
    throw uncuttable(`"${name}" is both input and output of one segment.`, 'Remove it from one of the two.');
  const spec = resolved.specs.get(name);
  const declared = resolved.model.graph.outputs.find((output) => output.name === name);
  if (declared !== undefined) return declared;
  return spec === undefined ? { name, dtype: 'other', elementType: 0, shape: undefined } : valueInfo(name, spec);
}
