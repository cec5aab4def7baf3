import { type Hop, hopsOf } from '../cost/hop.ts';
import { isOf } from '../query/check.ts';
import { type Link, type NoPlan, type PlanningNode, type Problem, usableNodes, withoutTimes } from '../strategy.ts';
import { layersMs } from '../times.ts';

/** A node that can compute. */
export interface Machine {
  readonly node: PlanningNode;
  /** Its place among the fleet's sites. */
  readonly site: number;
  /** For the whole network, ms. */
  readonly ms: number;
}

/** A hop whose legs are links of the fleet, by number. */
export interface FleetHop extends Pick<Hop, 'fixed_ms' | 'order_ms'> {
  readonly links: readonly number[];
}

/** The nodes among which tiles are divided. */
export interface Fleet {
  /** The fastest first. */
  readonly machines: readonly Machine[];
  /** Sites: those of machines, and where frames are born and answers are needed. */
  readonly sites: number;
  readonly source: number;
  /** Undefined where nobody needs the answers. */
  readonly sink: number | undefined;
  /** ms per byte of each link. */
  readonly links: readonly number[];
  /** By sender and receiver. */
  readonly hops: readonly (readonly FleetHop[])[];
}

/** The fleet of a problem: the nodes that may get work, if the network was profiled on all of them. */
export function fleetOf(problem: Problem): Fleet | NoPlan {
  const { nodes, source, sink, graph, constraints } = problem;
  const usable = usableNodes(problem).filter(
    ({ id }) => constraints.avoid?.some((named) => isOf(nodes, named, id)) !== true,
  );
  const unknown = withoutTimes(usable);
  if (unknown !== undefined) return unknown;
  const layers = graph.layers.map((_, index) => index);
  const machines = usable
    .map((node) => ({ node, ms: layersMs(node, layers) }))
    .sort((a, b) => a.ms - b.ms)
    .map((machine, site): Machine => ({ ...machine, site }));
  const sites = [...new Set([...machines.map(({ node }) => node.id), source, ...(sink === null ? [] : [sink])])];
  const hopOf = hopsOf(problem);
  const links = new Map<Link, number>();
  const hops = sites.map((from) =>
    sites.map((to): FleetHop => {
      const { legs, fixed_ms, order_ms } = hopOf(from, to);
      for (const leg of legs) if (!links.has(leg)) links.set(leg, links.size);
      return { fixed_ms, order_ms, links: legs.map((leg) => links.get(leg)!) };
    }),
  );
  return {
    machines,
    sites: sites.length,
    source: sites.indexOf(source),
    sink: sink === null ? undefined : sites.indexOf(sink),
    links: [...links.keys()].map(({ mbps }) => 1 / (mbps * 125)),
    hops,
  };
}
