import { integer, type Values, valueOr } from '../cli/options.ts';
import { defineBenchmark, list } from './harness/benchmark.ts';
import { Cluster } from './sim/cluster.ts';
import { tilesAndTail } from './sim/plans.ts';

/** Time that the coordinator may take to share a frame among the largest fleet, ms. */
const LIMIT_MS = 1;
const TILES = 8;
/** Multiply-adds of a tile, and per ms of a node: 20 ms. */
const TILE_COST = 20e6;
const WARM_UP_S = 2;
/** Share of the nodes that are killed at once. */
const KILLED = 0.3;

const options = {
  nodes: valueOr('--nodes <list>', 'nodes of each fleet', list(integer(1)), [10, 100, 1000]),
  cameras: valueOr('--cameras <n>', 'cameras, each with one frame a second', integer(1), 200),
  seconds: valueOr('--seconds <n>', 'simulated seconds before nodes are killed, and after it', integer(2), 10),
  seed: valueOr('--seed <n>', 'of speeds and times', integer(1), 1),
};

/** The coordinator of central among a thousand nodes. */
export const { description, usage, run } = defineBenchmark({
  question: 'how much of its time does central need to share frames among a thousand nodes?',
  method:
    `The coordinator with simulated nodes on a virtual clock. A frame has ${TILES} tiles of 20 ms each and a tail at ` +
    `central; nodes differ in speed by a factor of three. After the given time ${100 * KILLED} % of the nodes are ` +
    `killed at once. Passed: the coordinator takes at most ${LIMIT_MS} ms a frame in the mean, over all its events, at ` +
    'the largest fleet, and no frame ends with an error.',
  needs: 'nothing but this machine, quiet.',
  notMeasured:
    'decoding, cutting, encoding, messages and the tail, which take central far more time than its decisions ' +
    '(npm run bench -- overhead).',
  options,
  quick: { nodes: [1000], seconds: 5 },
  run: scale,
});

async function scale({ nodes, cameras, seconds, seed }: Values<typeof options>) {
  const rows = nodes.map((count) => simulate(count, cameras, seconds, seed));
  console.log(
    '| nodes | frames | skipped | errors | coordinator, ms a frame: sharing, all events | latency, ms: median, 95 %, after the kill |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const row of rows) {
    const latencies = [row.p50_ms, row.p95_ms, row.p95_killed_ms].map((ms) => ms.toFixed(0)).join(', ');
    console.log(
      `| ${row.nodes} | ${row.frames} | ${row.skipped} | ${row.errors} | ${row.share_ms.toFixed(2)}, ${row.all_ms.toFixed(2)} | ${latencies} |`,
    );
  }
  const pass = rows.every(({ errors }) => errors === 0) && rows.at(-1)!.share_ms <= LIMIT_MS;
  return { pass, cameras, rows };
}

function simulate(nodes: number, cameras: number, seconds: number, seed: number) {
  const cluster = new Cluster({}, seed);
  cluster.isChecked = false;
  for (let i = 0; i < nodes; i++) cluster.start(`n-${i}`, { speed: 1e6 * (0.5 + cluster.random.next()) });
  cluster.plan('m', tilesAndTail(TILES, { cost: TILE_COST }));
  const begin = 1000;
  const warm = begin + 1000 * WARM_UP_S;
  const killed = warm + 1000 * seconds;
  const end = killed + 1000 * seconds;
  for (let camera = 0; camera < cameras; camera++)
    for (let at = begin + (1000 * camera) / cameras; at < end; at += 1000)
      cluster.at(at, () => cluster.offer(`camera-${camera}`));
  cluster.run(warm);
  const before = cluster.published.length;
  // Code that is not warm is not counted.
  const spent = timed(cluster);
  cluster.run(killed);
  const after = cluster.published.length;
  for (let i = 0; i < Math.floor(KILLED * nodes); i++) cluster.kill(`n-${i}`);
  cluster.run(end);
  const frames = cluster.published.length - before;
  return {
    nodes,
    frames,
    skipped: cluster.skipped.length,
    errors: cluster.published.filter(({ outcome }) => outcome === 'error').length,
    share_ms: spent('frame-opened') / frames,
    all_ms: spent() / frames,
    p50_ms: latency(cluster, before, after, 0.5),
    p95_ms: latency(cluster, before, after, 0.95),
    p95_killed_ms: latency(cluster, after, cluster.published.length, 0.95),
  };
}

/** The time that the coordinator takes from now on for events of a type, or for all, ms. */
function timed({ coordinator }: Cluster): (type?: string) => number {
  const handle = coordinator.handle.bind(coordinator);
  const ms = new Map<string, number>();
  coordinator.handle = (event) => {
    const began = performance.now();
    const effects = handle(event);
    ms.set(event.type, (ms.get(event.type) ?? 0) + performance.now() - began);
    return effects;
  };
  return (type) => (type === undefined ? [...ms.values()].reduce((a, b) => a + b, 0) : (ms.get(type) ?? 0));
}

function latency({ published }: Cluster, from: number, to: number, share: number): number {
  const sorted = published
    .slice(from, to)
    .map(({ latency_ms }) => latency_ms)
    .sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
