import type { Graph, GraphNode, Model, ResolvedModel } from './model.ts';
import { tensorsReadBy } from './order.ts';

/** Name of the new graph input where the network returns its own input as an output. */
const PASSED_INPUT = 'tessera_input';

/** Tensors that the outputs of a graph depend on. */
function neededTensors({ nodes, outputs }: Graph): ReadonlySet<string> {
  const needed = new Set(outputs.map(({ name }) => name));
  for (const node of nodes.toReversed())
    if (node.outputs.some((name) => needed.has(name))) for (const name of tensorsReadBy(node)) needed.add(name);
  return needed;
}

/**
 * The model without inputs that no output depends on (left over from training). Where no output depends on any input,
 * the first one stays.
 */
export function withoutUnusedInputs(model: Model): Model {
  const { graph } = model;
  if (graph.inputs.length < 2) return model;
  const needed = neededTensors(graph);
  const used = graph.inputs.filter(({ name }) => needed.has(name));
  const inputs = used.length > 0 ? used : graph.inputs.slice(0, 1);
  return inputs.length === graph.inputs.length ? model : { ...model, graph: { ...graph, inputs } };
}

/**
 * The network with outputs that stages can make: each is named once, and none is an input. Where the network returns
 * its own input, a new graph input takes the frame and an Identity makes the old tensor.
 */
export function withComputedOutputs(resolved: ResolvedModel): ResolvedModel {
  const { model, specs } = resolved;
  const { graph } = model;
  const outputs = graph.outputs.filter(({ name }, at) => graph.outputs.findIndex((one) => one.name === name) === at);
  const passed = graph.inputs.find(({ name }) => outputs.some((output) => output.name === name));
  if (passed === undefined)
    return outputs.length === graph.outputs.length
      ? resolved
      : { model: { ...model, graph: { ...graph, outputs } }, specs };
  const identity: GraphNode = {
    name: PASSED_INPUT,
    op: 'Identity',
    domain: '',
    inputs: [PASSED_INPUT],
    outputs: [passed.name],
    attributes: new Map(),
  };
  const inputs = graph.inputs.map((input) => (input === passed ? { ...input, name: PASSED_INPUT } : input));
  const nodes = [identity, ...graph.nodes];
  const spec = specs.get(passed.name);
  return {
    model: { ...model, graph: { ...graph, nodes, inputs, outputs } },
    specs: spec === undefined ? specs : new Map([...specs, [PASSED_INPUT, spec]]),
  };
}
