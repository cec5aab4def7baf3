import { type PlacementProblem, type RunMs, runTimes } from './placement.ts';

/**
 * The problem without machines that another one of their tier can replace at no cost: of equal machines one is left. The
 * best labelling is as cheap as before. The source and the sink stay.
 */
export function fewerMachines(placement: PlacementProblem): PlacementProblem {
  const { machines, vertices, source, sink, hop, joint } = placement;
  const runMs = runTimes(placement);
  const isBound = (m: number): boolean => m === source || m === sink;
  let left: number[] = [];
  for (const m of machines.keys()) {
    if (!isBound(m) && left.some((other) => canReplace(placement, runMs, m, other))) continue;
    left = [...left.filter((other) => isBound(other) || !canReplace(placement, runMs, other, m)), m];
  }
  return {
    ...placement,
    machines: left.map((m) => machines[m]!),
    vertices: vertices.map((vertex) => ({ ...vertex, ms: left.map((m) => vertex.ms[m]!) })),
    source: left.indexOf(source),
    sink: sink === undefined ? undefined : left.indexOf(sink),
    hop: (from, to, bytes) => hop(left[from]!, left[to]!, bytes),
    ...(joint === undefined ? {} : { joint: (machine, first, last) => joint(left[machine]!, first, last) }),
  };
}

/** Whether every labelling is as cheap or cheaper if a machine's vertices run on the other one. */
function canReplace(
  { machines, vertices, tensors, hop, joint }: PlacementProblem,
  runMs: RunMs,
  machine: number,
  other: number,
): boolean {
  if (machines[machine]!.rank !== machines[other]!.rank) return false;
  if (vertices.some(({ ms }) => ms[other]! > ms[machine]!)) return false;
  const isNoSlower = (first: number, last: number) => runMs(other, first, last) <= runMs(machine, first, last);
  if (joint !== undefined && !vertices.every((_, v) => vertices.every((_, w) => w < v || isNoSlower(v, w))))
    return false;
  const sizes = [...new Set(tensors.map(({ bytes }) => bytes))];
  return machines.every(
    (_, third) =>
      third === machine ||
      third === other ||
      sizes.every(
        (bytes) =>
          hop(other, third, bytes) <= hop(machine, third, bytes) &&
          hop(third, other, bytes) <= hop(third, machine, bytes),
      ),
  );
}
