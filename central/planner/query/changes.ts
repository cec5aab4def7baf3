import { type Hops, hopsOf } from '../cost/hop.ts';
import type { PlanningNode, Problem } from '../strategy.ts';
import type { NodeTimes } from '../times.ts';
import { type Ask, type Ranked, rank } from './rank.ts';

/** A link or node at whose speed another plan wins. */
export interface Change {
  /** A link as `from > to`, or a node's id. */
  readonly name: string;
  readonly kind: 'link' | 'node';
  /** The link's speed now and then, Mbps; the node's as a factor, 1 now. */
  readonly from: number;
  readonly to: number;
  readonly winner: Ranked;
}

/** How far speeds are varied. */
const MOST = 16;
/** Halvings of the search for the speed: its error is below 1 %. */
const STEPS = 9;
/** Most links and nodes that are varied. */
const MOST_VARIED = 24;

/**
 * What would change the answer: speeds of links and nodes, of those that the known plans use, at which another plan
 * wins, the nearest first. What the best plan uses is made slower, other things faster.
 */
export async function changesOf(problem: Problem, known: readonly Ranked[], ask: Ask): Promise<Change[]> {
  const [best] = known;
  if (best === undefined) return [];
  const winnerOf = (changed: Problem, plans: readonly Ranked[]): Ranked | undefined => {
    const proposed = plans.map(({ plan }) => plan);
    return rank(changed, [{ strategy: '', proposed, compared: 0 }]).ranked[0];
  };
  const hopOf = hopsOf(problem);
  const changes: Change[] = [];
  for (const { kind, name, at, speed } of variedOf(problem, known, hopOf)) {
    const direction = isUsed(hopOf, best, name) ? 1 / MOST : MOST;
    const far = rank(at(direction), await ask(at(direction))).ranked;
    const candidates = [...known, ...far];
    if (winnerOf(at(direction), candidates)?.plan.id === best.plan.id) continue;
    let [near, factor] = [1, direction];
    for (let step = 0; step < STEPS; step++) {
      const middle = Math.sqrt(near * factor);
      const first = winnerOf(at(middle), candidates);
      if (first === undefined || first.plan.id === best.plan.id) near = middle;
      else factor = middle;
    }
    const winner = winnerOf(at(factor), candidates);
    if (winner !== undefined) changes.push({ kind, name, from: speed, to: speed * factor, winner });
  }
  return changes.sort((a, b) => Math.abs(Math.log(a.to / a.from)) - Math.abs(Math.log(b.to / b.from)));
}

interface Varied {
  readonly kind: 'link' | 'node';
  readonly name: string;
  readonly speed: number;
  /** The problem with this many times the speed. */
  readonly at: (factor: number) => Problem;
}

/** The links and nodes that plans use. */
function variedOf(problem: Problem, plans: readonly Ranked[], hopOf: Hops): Varied[] {
  const { links, nodes } = problem;
  const isInteresting = (name: string): boolean => plans.some((plan) => isUsed(hopOf, plan, name));
  const ofLinks = links.map((link): Varied => {
    const at = (factor: number): Problem => {
      const changed = links.map((other) => (other === link ? { ...link, mbps: factor * link.mbps } : other));
      return { ...problem, links: changed };
    };
    return { kind: 'link', name: `${link.from} > ${link.to}`, speed: link.mbps, at };
  });
  const ofNodes = nodes.map((node): Varied => {
    const at = (factor: number): Problem => {
      return { ...problem, nodes: nodes.map((other) => (other === node ? withSpeed(node, factor) : other)) };
    };
    return { kind: 'node', name: node.id, speed: 1, at };
  });
  return [...ofLinks, ...ofNodes].filter(({ name }) => isInteresting(name)).slice(0, MOST_VARIED);
}

/** Whether a plan's frames use a machine, or a link as `from > to`. */
function isUsed(hopOf: Hops, { prediction }: Ranked, name: string): boolean {
  const { stages, hops } = prediction;
  if (stages.some(({ parts }) => parts.some(({ node }) => node === name))) return true;
  return hops.some(({ from, to }) => hopOf(from, to).legs.some((link) => name === `${link.from} > ${link.to}`));
}

function withSpeed(node: PlanningNode, factor: number): PlanningNode {
  const { times } = node;
  if (times === undefined) return node;
  const faster: NodeTimes = {
    ...times,
    layer_ms: times.layer_ms.map((ms) => ms / factor),
    runs: times.runs.map((run) => ({ ...run, ms: run.ms / factor })),
  };
  return { ...node, times: faster };
}
