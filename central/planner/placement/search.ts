import type { Labels, PlacementProblem } from './placement.ts';

/*
 * Dynamic programming over the vertices in topological order. What the rest of the network depends on is, for each live
 * tensor, the machine where it was made and the machines that it was sent to: of all labellings that agree on that, only
 * the cheapest is kept. At a cut with one tensor there are few such states, so the work depends on how many branches are
 * open at once, and not on the length of the network.
 */

/** Most machines of a search: they are the bits of a number. */
export const MOST_MACHINES = 30;

/** A cheapest labelling of the first vertices. */
interface State {
  readonly ms: number;
  /** For each live tensor its whereabouts, as the number that `Whereabouts` gives them. */
  readonly tensors: readonly number[];
  readonly label: number;
  /** Where the consecutive vertices on the last one's machine begin; 0 where times of vertices add up. */
  readonly start: number;
  readonly before: State | undefined;
}

/** Most whereabouts of tensors in one search: a character holds the number of one. */
const MOST_WHEREABOUTS = 0xffff;

/** Numbers for where a tensor was made and where it is (bits). */
class Whereabouts {
  readonly homes: number[] = [];
  readonly places: number[] = [];
  readonly #numbers = new Map<number, number>();

  of(home: number, places: number): number {
    const name = home * 2 ** MOST_MACHINES + places;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.homes.push(home) - 1;
      this.places.push(places);
      this.#numbers.set(name, number);
    }
    return number;
  }
}

/** What a search kept. */
export interface Found {
  readonly labels: Labels;
  readonly ms: number;
  /** Whether no state was left out, and so no monotone labelling is cheaper. */
  readonly isExact: boolean;
}

/** Bounds of a search, in states times live tensors. */
export interface SearchBounds {
  /** After each vertex: beyond, the cheapest states are kept (beam search). */
  readonly each: number;
  /** After all vertices together: beyond, the search ends without an answer. */
  readonly total: number;
}

/**
 * The cheapest monotone labelling; undefined where there is none, or the bound on all states is reached. Throws
 * RangeError for more than MOST_MACHINES machines.
 */
export function searchLabels(placement: PlacementProblem, { each, total }: SearchBounds): Found | undefined {
  const { machines, vertices, tensors, source } = placement;
  if (machines.length > MOST_MACHINES) throw new RangeError(`${machines.length} machines; at most ${MOST_MACHINES}`);
  let live = tensors.flatMap(({ maker, readers }, t) => (maker === -1 && readers.length > 0 ? [t] : []));
  const where = new Whereabouts();
  const born = live.map(() => where.of(source, 1 << source));
  let states: State[] = [{ ms: 0, tensors: born, label: -1, start: 0, before: undefined }];
  let isExact = true;
  let kept = 0;
  for (const v of vertices.keys()) {
    const step = stepAt(placement, v, live);
    states = nextStates(placement, step, where, states);
    live = step.live;
    const most = Math.max(1, Math.floor(each / Math.max(1, live.length)));
    if (states.length > most) {
      states = states.sort((a, b) => a.ms - b.ms).slice(0, most);
      isExact = false;
    }
    kept += states.length * Math.max(1, live.length);
    if (kept > total || where.homes.length > MOST_WHEREABOUTS) return undefined;
  }
  const cheapest = states.reduce<State | undefined>((a, b) => (a === undefined || b.ms < a.ms ? b : a), undefined);
  return cheapest && { labels: labelsOf(cheapest), ms: cheapest.ms, isExact };
}

/** What a vertex does to the live tensors; `read` and `stay` are indices among those before it. */
interface Step {
  readonly vertex: number;
  readonly read: readonly number[];
  readonly stay: readonly number[];
  /** Tensors that it makes and others read. */
  readonly made: readonly number[];
  /** The live tensors behind it. */
  readonly live: number[];
}

function stepAt({ vertices, tensors }: PlacementProblem, vertex: number, before: readonly number[]): Step {
  const isRead = (t: number): boolean => (tensors[t]!.readers.at(-1) ?? -1) > vertex;
  const read = vertices[vertex]!.inputs.map((t) => before.indexOf(t));
  const stay = before.flatMap((t, index) => (isRead(t) ? [index] : []));
  const made = vertices[vertex]!.outputs.filter(isRead);
  return { vertex, read, stay, made, live: [...stay.map((index) => before[index]!), ...made] };
}

/** The cheapest states behind a vertex. */
function nextStates(placement: PlacementProblem, step: Step, where: Whereabouts, states: readonly State[]): State[] {
  const best = new Map<string, State>();
  const leaving = placement.joint === undefined ? undefined : cheapestToLeave(states);
  for (const state of states)
    for (const machine of placement.machines.keys()) {
      if (machine !== state.label && leaving?.has(state) === false) continue;
      const next = extended(placement, step, where, state, machine);
      if (next.ms === Infinity) continue;
      const run = placement.joint === undefined ? [] : [machine, next.start];
      const key = String.fromCharCode(...next.tensors, ...run);
      const known = best.get(key);
      if (known === undefined || next.ms < known.ms) best.set(key, next);
    }
  return [...best.values()];
}

/** Where the run of the last vertex began does not matter any more once another machine goes on: the cheapest of those. */
function cheapestToLeave(states: readonly State[]): Set<State> {
  const best = new Map<string, State>();
  for (const state of states) {
    const key = String.fromCharCode(...state.tensors, state.label + 1);
    const known = best.get(key);
    if (known === undefined || state.ms < known.ms) best.set(key, state);
  }
  return new Set(best.values());
}

/** A state with the next vertex on a machine; its time is infinite where that is not possible. */
function extended(
  { machines, vertices, tensors, sink, hop, joint }: PlacementProblem,
  { vertex, read, stay, made }: Step,
  where: Whereabouts,
  state: State,
  machine: number,
): State {
  const { ms: own, inputs, outputs } = vertices[vertex]!;
  const bit = 1 << machine;
  const goesOn = joint !== undefined && state.label === machine;
  let ms = state.ms;
  if (goesOn && own[machine]! < Infinity)
    ms += joint(machine, state.start, vertex) - joint(machine, state.start, vertex - 1);
  else ms += own[machine]!;
  const moved = [...state.tensors];
  for (const [i, index] of read.entries()) {
    const [home, places] = [where.homes[moved[index]!]!, where.places[moved[index]!]!];
    const { maker, bytes } = tensors[inputs[i]!]!;
    if (maker !== -1 && machines[home]!.rank > machines[machine]!.rank) ms = Infinity;
    else if ((places & bit) === 0) ms += hop(home, machine, bytes);
    moved[index] = where.of(home, places | bit);
  }
  const isNeeded = (t: number): boolean => sink !== undefined && tensors[t]!.isAnswer;
  for (const t of outputs) if (isNeeded(t) && sink !== machine) ms += hop(machine, sink!, tensors[t]!.bytes);
  const fresh = made.map((t) => where.of(machine, isNeeded(t) ? bit | (1 << sink!) : bit));
  return {
    ms,
    tensors: [...stay.map((index) => moved[index]!), ...fresh],
    label: machine,
    start: joint === undefined ? 0 : goesOn ? state.start : vertex,
    before: state,
  };
}

function labelsOf(last: State): number[] {
  const labels: number[] = [];
  for (let state: State | undefined = last; state?.before !== undefined; state = state.before) labels.push(state.label);
  return labels.reverse();
}
