/*
 * Where the vertices of a network run. A labelling gives each vertex a machine; its cost is the sum of the vertices'
 * times and of all transfers. A tensor is sent once to each machine that needs it, not once per reader (D3, ICDCS 2021).
 */

/** A block or a layer of a network: it runs on one machine. */
export interface Vertex {
  /** Indices of its layers in the planning graph. */
  readonly layers: readonly number[];
  /** Its time on each machine, ms; infinite where it cannot run. */
  readonly ms: readonly number[];
  /** Indices of the tensors that it reads and makes. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A tensor that may cross between machines. */
export interface PlacedTensor {
  readonly name: string;
  readonly bytes: number;
  /** The vertex that makes it; -1: it comes with the frame. */
  readonly maker: number;
  /** The vertices that read it, in order. */
  readonly readers: readonly number[];
  /** Whether it is an output of the network. */
  readonly isAnswer: boolean;
}

/** A machine of the problem. */
export interface Machine {
  readonly id: string;
  /** Its tier as a number, the device first. */
  readonly rank: number;
}

/** A network and machines. Vertices and tensors are in topological order. */
export interface PlacementProblem {
  readonly machines: readonly Machine[];
  readonly vertices: readonly Vertex[];
  readonly tensors: readonly PlacedTensor[];
  /** The machine where frames are born. */
  readonly source: number;
  /** The machine that needs the network's outputs; undefined where sending them back is free. */
  readonly sink: number | undefined;
  /** Time in which a tensor of so many bytes travels, ms; infinite without a link, 0 to the machine itself. */
  readonly hop: (from: number, to: number, bytes: number) => number;
  /** Times of several vertices as one stage; absent where they are the sums of the vertices' own. */
  readonly joint?: RunMs;
}

/** The machine of each vertex. */
export type Labels = readonly number[];

/** The machine at which a tensor is made or born. */
export function homeOf({ source }: Pick<PlacementProblem, 'source'>, { maker }: PlacedTensor, labels: Labels): number {
  return maker === -1 ? source : labels[maker]!;
}

/** The time of all transfers of a labelling, ms. */
export function transfersOf({ tensors, source, sink, hop }: PlacementProblem, labels: Labels): number {
  let ms = 0;
  for (const { maker, readers, bytes, isAnswer } of tensors) {
    const home = maker === -1 ? source : labels[maker]!;
    const sent: number[] = [];
    const send = (to: number): void => {
      if (to === home || sent.includes(to)) return;
      sent.push(to);
      ms += hop(home, to, bytes);
    };
    for (const reader of readers) send(labels[reader]!);
    if (isAnswer && sink !== undefined) send(sink);
  }
  return ms;
}

/** The time of consecutive vertices (both ends included) as one stage on a machine, ms. */
export type RunMs = (machine: number, first: number, last: number) => number;

/** The times of consecutive vertices: `joint`, or sums of the vertices' own; infinite if one of them cannot run there. */
export function runTimes({ machines, vertices, joint }: PlacementProblem): RunMs {
  const sums = machines.map((_, m) => {
    const upTo = [{ ms: 0, impossible: 0 }];
    for (const vertex of vertices) {
      const { ms, impossible } = upTo.at(-1)!;
      const own = vertex.ms[m]!;
      upTo.push(own === Infinity ? { ms, impossible: impossible + 1 } : { ms: ms + own, impossible });
    }
    return upTo;
  });
  return (machine, first, last) => {
    const [before, after] = [sums[machine]![first]!, sums[machine]![last + 1]!];
    if (after.impossible > before.impossible) return Infinity;
    return joint === undefined ? after.ms - before.ms : joint(machine, first, last);
  };
}

/** The time of all vertices of a labelling, ms; consecutive ones of one machine count as one stage. */
function computingOf({ vertices, joint }: PlacementProblem, labels: Labels): number {
  const sum = vertices.reduce((all, { ms }, v) => all + ms[labels[v]!]!, 0);
  if (joint === undefined || sum === Infinity) return sum;
  let ms = 0;
  for (let first = 0, v = 0; v < labels.length; v++)
    if (labels[v + 1] !== labels[v]) {
      ms += joint(labels[v]!, first, v);
      first = v + 1;
    }
  return ms;
}

/** The time of the vertices that a labelling gives to a machine, ms. */
export function busyMs({ vertices }: PlacementProblem, labels: Labels, machine: number): number {
  return vertices.reduce((sum, { ms }, v) => (labels[v] === machine ? sum + ms[machine]! : sum), 0);
}

/** The cost of a labelling, ms: all vertices and all transfers, one after another. */
export function costOf(placement: PlacementProblem, labels: Labels): number {
  return computingOf(placement, labels) + transfersOf(placement, labels);
}
