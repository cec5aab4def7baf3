import { percentile } from './hedge.ts';

/**
 * Measurements of one node. ADCNN's Algorithm 2 counts results within T_L. Where no result exceeds T_L this count
 * equals the number of requests and says nothing, so `s_k` here is speed: cost done per second of the node's compute
 * time.
 */
export interface NodeStatistics {
  /** Speed over all stages, cost per second; undefined until the node has done a part. */
  speed: number | undefined;
  /** Per plan stage, because operators differ in time per multiply-add. */
  readonly stages: Map<string, StageStatistics>;
  /** Sizes and times of its messages, of which `linkOf` estimates its link. */
  readonly link: LinkStatistics;
}

/** Weighted sums over messages, older ones less: count, bytes sent and received, ms beyond waiting and computing. */
export interface LinkStatistics {
  count: number;
  bytes: number;
  ms: number;
  bytes_bytes: number;
  bytes_ms: number;
}

/** Time of a message on the way there and back. */
export interface Link {
  /** Per message, whatever its size. */
  readonly messageMs: number;
  readonly msPerByte: number;
}

/** Measurements of one node at one stage of one plan. */
export interface StageStatistics {
  /** Cost per second. */
  speed: number | undefined;
  /** Mean distance of a measured speed from the speed that was known before, as a share (0..1) of the latter. */
  noise: number;
  /** The latest response times, ms, from assignment to the last answer; at most `RESPONSES`. */
  readonly responses: number[];
}

/** Noise of a single measurement, as that of a first round trip (Jacobson, SIGCOMM 1988, appendix A; RFC 6298). */
const FIRST_NOISE = 0.5;

/** Response times kept per node and stage. */
export const RESPONSES = 64;

/** Key of a plan's stage in statistics. */
export function stageKey(plan: string, stage: number): string {
  return `${plan}/${stage}`;
}

/** Statistics of a node without measurements. */
export function newStatistics(): NodeStatistics {
  const link = { count: 0, bytes: 0, ms: 0, bytes_bytes: 0, bytes_ms: 0 };
  return { speed: undefined, stages: new Map(), link };
}

/** ADCNN Algorithm 2: `s <- (1 - gamma) s + gamma n`; the first observation is taken as it is. */
export function ewma(s: number | undefined, n: number, gamma: number): number {
  return s === undefined ? n : (1 - gamma) * s + gamma * n;
}

function stageOf(node: NodeStatistics, key: string): StageStatistics {
  let stage = node.stages.get(key);
  if (stage === undefined) {
    stage = { speed: undefined, noise: FIRST_NOISE, responses: [] };
    node.stages.set(key, stage);
  }
  return stage;
}

/** Records that the node did `cost` in `computeMs` of compute time. */
export function observeWork(node: NodeStatistics, key: string, cost: number, computeMs: number, gamma: number): void {
  const speed = (1000 * cost) / Math.max(computeMs, 0.01);
  const stage = stageOf(node, key);
  if (stage.speed !== undefined) stage.noise = ewma(stage.noise, Math.min(1, Math.abs(speed / stage.speed - 1)), gamma);
  stage.speed = ewma(stage.speed, speed, gamma);
  node.speed = ewma(node.speed, speed, gamma);
}

/** Records that the node is at most this fast at a stage now, because an answer has not come. */
export function observeAtMost(node: NodeStatistics, key: string, speed: number, gamma: number): void {
  const stage = stageOf(node, key);
  if (stage.speed === undefined || speed < stage.speed) stage.speed = ewma(stage.speed, speed, gamma);
  if (node.speed === undefined) node.speed = speed;
}

/** Records one response time, ms. */
export function observeResponse(node: NodeStatistics, key: string, ms: number): void {
  const { responses } = stageOf(node, key);
  responses.push(ms);
  if (responses.length > RESPONSES) responses.shift();
}

/** A line needs more points than a mean, so messages count this many times longer than parts. */
const LINK_MEMORY = 3;
/**
 * Weight of all earlier messages after one that took less than half of the prediction: earlier ones met a cold start or
 * a stall.
 */
const KEPT_OF_ACCIDENTS = 0.5;

/** Records that a message and its answer, of `bytes` together, took `ms` beyond waiting and computing. */
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

/** Sizes that differ by less than this share of their mean say little about the time per byte. */
const TELLING = 0.1;

/**
 * Least-squares line through the times of messages by size; neither coefficient is below 0. With a time per byte alone,
 * a node with small messages would look slow, get less work, and none in the end. Where all sizes are alike the time
 * counts as time per message; probes soon bring other sizes.
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

/** Forgets the stages of a plan. */
export function forgetPlan(node: NodeStatistics, plan: string): void {
  for (const key of node.stages.keys()) if (key.startsWith(`${plan}/`)) node.stages.delete(key);
}

/**
 * Comparable speeds for the allocation, one per node: measured at this stage; else the node's speed at other stages,
 * scaled by the ratio at nodes that have both; else the median of the other nodes. A measured node that differs from
 * the median of those by less than its noise counts as that, so that nodes which are nearly equal get equal parts.
 * Undefined for all where no node has done a part.
 */
export function estimateSpeeds(nodes: readonly NodeStatistics[], key: string): (number | undefined)[] {
  const stages = nodes.map((node) => node.stages.get(key));
  const speeds = stages.map((stage) => stage?.speed);
  const measured = medianOf(speeds);
  // Many nodes may be here for each part, so that nothing is computed that no node needs.
  if (speeds.some((speed, k) => speed === undefined && nodes[k]!.speed !== undefined)) {
    const ratios = nodes.flatMap((node, k) => (speeds[k] !== undefined && node.speed ? [speeds[k] / node.speed] : []));
    const scale = percentile(ratios, 0.5) ?? 1;
    nodes.forEach(({ speed }, k) => {
      if (speed !== undefined) speeds[k] ??= speed * scale;
    });
  }
  const median = speeds.includes(undefined) ? medianOf(speeds) : undefined;
  return speeds.map((speed, k) => {
    if (speed === undefined) return median;
    const stage = stages[k];
    const isNoise = stage?.speed !== undefined && Math.abs(measured! - speed) < stage.noise * speed;
    return isNoise ? measured : speed;
  });
}

function medianOf(speeds: readonly (number | undefined)[]): number | undefined {
  return percentile(
    speeds.filter((speed) => speed !== undefined),
    0.5,
  );
}
