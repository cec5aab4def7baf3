import { percentile } from './hedge.ts';

/**
 * What central has learnt of one node. ADCNN's Algorithm 2 counts results inside T_L; where T_L never bites that count
 * equals what was asked for and says nothing, so `s_k` here is speed: cost done per second of the node's own computing.
 */
export interface NodeStatistics {
  /** Speed over everything that it did, cost per second; undefined until it did something. */
  speed: number | undefined;
  /** Per plan stage, because an operator's cost in multiply-adds is not its cost in time. */
  readonly stages: Map<string, StageStatistics>;
  /** Its messages by size and time: what `linkOf` reads its link from. */
  readonly link: LinkStatistics;
}

/** Sums over messages, older ones weighing less: how many, bytes sent and received, ms beyond waiting and computing. */
export interface LinkStatistics {
  count: number;
  bytes: number;
  ms: number;
  bytes_bytes: number;
  bytes_ms: number;
}

/** What a message costs on the way there and back. */
export interface Link {
  /** Whatever its size, ms. */
  readonly messageMs: number;
  readonly msPerByte: number;
}

/** What is known of one node at one stage of one plan. */
export interface StageStatistics {
  /** Cost per second. */
  speed: number | undefined;
  /** The latest response times, ms, from assignment to the last answer; at most `RESPONSES`. */
  readonly responses: number[];
}

/** Response times kept per node and stage. */
export const RESPONSES = 64;

/** The name of a plan's stage in statistics. */
export function stageKey(plan: string, stage: number): string {
  return `${plan}/${stage}`;
}

/** Statistics of a node of which nothing is known. */
export function newStatistics(): NodeStatistics {
  const link = { count: 0, bytes: 0, ms: 0, bytes_bytes: 0, bytes_ms: 0 };
  return { speed: undefined, stages: new Map(), link };
}

/** ADCNN Algorithm 2, line by line: `s <- (1 - gamma) s + gamma n`; the first observation stands as it is. */
export function ewma(s: number | undefined, n: number, gamma: number): number {
  return s === undefined ? n : (1 - gamma) * s + gamma * n;
}

function stageOf(node: NodeStatistics, key: string): StageStatistics {
  let stage = node.stages.get(key);
  if (stage === undefined) {
    stage = { speed: undefined, responses: [] };
    node.stages.set(key, stage);
  }
  return stage;
}

/** Takes note that the node did `cost` in `computeMs` of its own time. */
export function observeWork(node: NodeStatistics, key: string, cost: number, computeMs: number, gamma: number): void {
  const speed = (1000 * cost) / Math.max(computeMs, 0.01);
  const stage = stageOf(node, key);
  stage.speed = ewma(stage.speed, speed, gamma);
  node.speed = ewma(node.speed, speed, gamma);
}

/** Takes note that the node cannot be faster than `speed` at this stage now: it has not answered for that long. */
export function observeAtMost(node: NodeStatistics, key: string, speed: number, gamma: number): void {
  const stage = stageOf(node, key);
  if (stage.speed === undefined || speed < stage.speed) stage.speed = ewma(stage.speed, speed, gamma);
  if (node.speed === undefined) node.speed = speed;
}

/** Takes note of one response time, ms. */
export function observeResponse(node: NodeStatistics, key: string, ms: number): void {
  const { responses } = stageOf(node, key);
  responses.push(ms);
  if (responses.length > RESPONSES) responses.shift();
}

/** A line needs more points than a mean: they count so much longer. */
const LINK_MEMORY = 3;
/** What is left of all before where a message took less than half of what it should: that was a cold start or a stall. */
const KEPT_OF_ACCIDENTS = 0.5;

/** Takes note that a message and its answer, of `bytes` together, took `ms` beyond waiting and computing. */
export function observeLink({ link }: NodeStatistics, bytes: number, ms: number, gamma: number): void {
  const took = Math.max(0, ms);
  const { messageMs, msPerByte } = linkOf({ link });
  const kept = 2 * took < messageMs + bytes * msPerByte ? KEPT_OF_ACCIDENTS : 1 - gamma / LINK_MEMORY;
  link.count = kept * link.count + 1;
  link.bytes = kept * link.bytes + bytes;
  link.ms = kept * link.ms + took;
  link.bytes_bytes = kept * link.bytes_bytes + bytes * bytes;
  link.bytes_ms = kept * link.bytes_ms + bytes * took;
}

/** Sizes that differ by less than this share of their mean say little of what a byte costs. */
const TELLING = 0.1;

/**
 * A line through what messages took by their size (least squares), neither part of it below 0. Charged by the byte
 * alone, a node that was given little would look slow for each byte, be given less, and be left out in the end however
 * large the parts become. Where sizes are alike the time counts as the message's; probes soon bring other sizes.
 */
export function linkOf({ link }: Pick<NodeStatistics, 'link'>): Link {
  if (link.count === 0) return { messageMs: 0, msPerByte: 0 };
  const bytes = link.bytes / link.count;
  const ms = link.ms / link.count;
  if (bytes === 0) return { messageMs: ms, msPerByte: 0 };
  const spread = Math.max(0, link.bytes_bytes / link.count - bytes * bytes) + (TELLING * bytes) ** 2;
  const slope = (link.bytes_ms / link.count - bytes * ms) / spread;
  const msPerByte = Math.min(ms / bytes, Math.max(0, slope));
  return { messageMs: Math.max(0, ms - bytes * msPerByte), msPerByte };
}

/** The 95th percentile of the node's response times at a stage, ms; undefined where there are none. */
export function slowResponse(node: NodeStatistics, key: string): number | undefined {
  return percentile(node.stages.get(key)?.responses ?? [], 0.95);
}

/** Forgets the stages of a plan that is gone. */
export function forgetPlan(node: NodeStatistics, plan: string): void {
  for (const key of node.stages.keys()) if (key.startsWith(`${plan}/`)) node.stages.delete(key);
}

/**
 * The speeds to allocate by, one per node and all comparable: what was measured at this stage; else the node's speed
 * elsewhere, scaled by what the stage is to the nodes that know both; else the median of the others. Undefined for
 * all where nobody has done anything yet.
 */
export function estimateSpeeds(nodes: readonly NodeStatistics[], key: string): (number | undefined)[] {
  const here = nodes.map((node) => node.stages.get(key)?.speed);
  const ratios = nodes.flatMap((node, k) => (here[k] !== undefined && node.speed ? [here[k] / node.speed] : []));
  const scale = percentile(ratios, 0.5) ?? 1;
  const known = nodes.map((node, k) => here[k] ?? (node.speed === undefined ? undefined : node.speed * scale));
  const median = percentile(
    known.filter((speed) => speed !== undefined),
    0.5,
  );
  return known.map((speed) => speed ?? median);
}
