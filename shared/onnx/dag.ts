import { TesseraError } from '../errors.ts';
import type { Graph, GraphNode } from './model.ts';
import { tensorsReadBy } from './order.ts';

/**
 * A graph as a directed acyclic graph of nodes, which are named by their indices. All questions about what depends on
 * what are asked here.
 */
export class Dag {
  readonly nodes: readonly GraphNode[];
  /** Tensors that each node reads, its subgraphs included. */
  readonly reads: readonly (readonly string[])[];
  readonly #graph: Graph;
  readonly #makers = new Map<string, number>();
  readonly #readers = new Map<string, number[]>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.nodes = graph.nodes;
    this.reads = graph.nodes.map(tensorsReadBy);
    graph.nodes.forEach(({ outputs }, index) => {
      for (const output of outputs) if (output !== '') this.#makers.set(output, index);
      for (const input of this.reads[index]!) {
        const readers = this.#readers.get(input);
        if (readers === undefined) this.#readers.set(input, [index]);
        else readers.push(index);
      }
    });
  }

  /** The node that makes a tensor; undefined for inputs and initializers. */
  maker(tensor: string): number | undefined {
    return this.#makers.get(tensor);
  }

  /** The nodes that read a tensor, in order. */
  readers(tensor: string): readonly number[] {
    return this.#readers.get(tensor) ?? [];
  }

  /**
   * The nodes that make `outputs` from `inputs` and constants. Throws TESSERA_PLAN_INVALID for an output that the graph
   * does not have, and where an input of the graph is needed that is not given.
   */
  between(inputs: readonly string[], outputs: readonly string[]): Set<number> {
    const given = new Set(inputs);
    const found = new Set<number>();
    const pending = [...outputs];
    const seen = new Set(outputs);
    while (pending.length > 0) {
      const tensor = pending.pop()!;
      if (given.has(tensor) || this.#graph.initializers.has(tensor)) continue;
      const maker = this.#makers.get(tensor);
      if (maker === undefined) this.#checkMissing(tensor, outputs);
      else if (!found.has(maker)) {
        found.add(maker);
        for (const read of this.reads[maker]!) {
          if (!seen.has(read)) pending.push(read);
          seen.add(read);
        }
      }
    }
    return found;
  }

  #checkMissing(tensor: string, outputs: readonly string[]): void {
    if (this.#graph.inputs.some(({ name }) => name === tensor)) {
      const made = outputs.map((output) => `"${output}"`).join(', ');
      throw new TesseraError(
        'TESSERA_PLAN_INVALID',
        `the stage that makes ${made} needs the model's input "${tensor}"`,
        {
          hint: 'Add it to the inputs of the stage, or cut where no branch crosses.',
        },
      );
    }
    if (outputs.includes(tensor))
      throw new TesseraError('TESSERA_PLAN_INVALID', `the model has no tensor "${tensor}"`, {
        hint: '`tessera model inspect` lists the tensors.',
      });
  }

  /** Of the tensors that are `known`, those that the rest of the graph needs: the live tensors at this cut, in the order given. */
  live(known: Iterable<string>): string[] {
    const there = new Set(known);
    const rest = this.between(
      [...there],
      this.#graph.outputs.map(({ name }) => name),
    );
    return [...there].filter((tensor) => this.readers(tensor).some((reader) => rest.has(reader)));
  }

  /** The tensors that nodes of `set` make and that other nodes or the user need, in order. */
  boundary(set: ReadonlySet<number>): string[] {
    const results = new Set(this.#graph.outputs.map(({ name }) => name));
    const isNeeded = (tensor: string): boolean =>
      tensor !== '' && (results.has(tensor) || this.readers(tensor).some((reader) => !set.has(reader)));
    return [...set].sort((a, b) => a - b).flatMap((index) => this.nodes[index]!.outputs.filter(isNeeded));
  }

  /** A node and all nodes of `set` that depend on it. */
  dependants(index: number, set: ReadonlySet<number>): Set<number> {
    const found = new Set([index]);
    const pending = [index];
    while (pending.length > 0)
      for (const output of this.nodes[pending.pop()!]!.outputs)
        for (const reader of this.readers(output))
          if (set.has(reader) && !found.has(reader)) {
            found.add(reader);
            pending.push(reader);
          }
    return found;
  }
}

const dags = new WeakMap<Graph, Dag>();

/** The DAG of a model's graph; built once for each graph. */
export function dagOf({ model }: { readonly model: { readonly graph: Graph } }): Dag {
  const known = dags.get(model.graph);
  if (known !== undefined) return known;
  const dag = new Dag(model.graph);
  dags.set(model.graph, dag);
  return dag;
}
