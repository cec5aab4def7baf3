import { defaultOptions } from '../../central/coordinator/options.ts';
import { Cluster } from './cluster.ts';
import { atCentral, everyNode, sketchPlan, tilesAndTail } from './plans.ts';

const NODES = ['n0', 'n1', 'n2', 'n3', 'n4'];
/** Most pictures are seen whole. */
const LAYOUTS = [
  ...Array<undefined>(6),
  { rows: 1, columns: 2, overlap: 0.2, whole: false },
  { rows: 2, columns: 2, overlap: 0.2, whole: true },
] as const;
const CAMERAS = ['front', 'back', 'side'];

/**
 * A cluster with random faults for `ms` of its time: nodes come, die, stop, slow down, send wrong results and repeat
 * messages, plans change, cameras are configured, frames arrive. Then the faults end, and all frames have to end.
 */
export function chaos(seed: number, ms: number, keepLog = false): Cluster {
  const options = {
    max_open: 6,
    max_open_per_model: 3,
    max_sectioned: 2,
    max_open_bytes: 4.5e6,
    max_payload_bytes: 500_000,
    window_bytes: 45_000,
    owed_bytes: 70_000,
    hard_limit_ms: 8_000,
    patience_ms: 4_000,
    audit_share: seed % 2 === 0 ? 0.2 : 0.01,
    audit_seed: seed,
    camera: { ...defaultOptions.camera, queue_max: 8 },
  };
  const cluster = new Cluster(options, seed, keepLog);
  const { random } = cluster;
  const plans = [
    tilesAndTail(8, { cost: 3e6 }),
    sketchPlan(
      [
        { tiles: 6, cost: 2e6, bytes_out: 30_000 },
        { tiles: 4, cost: 4e6, bytes_out: 80_000 },
        { tiles: 1, on: everyNode },
      ],
      1,
    ),
    sketchPlan([{ tiles: 1, cost: 2e7, bytes_in: 90_000, on: { mode: 'replicate', nodes: '*' } }], 2, 2e6),
    sketchPlan(
      [
        { tiles: 5, on: { mode: 'share', nodes: ['n0', 'n1'] } },
        { tiles: 3, on: { mode: 'share', tier: 'edge' } },
      ],
      3,
    ),
    sketchPlan([{ tiles: 4, on: { mode: 'share', tier: 'device' } }], 4),
    sketchPlan(
      [
        { tiles: 6, cost: 2e6 },
        { tiles: 1, cost: 1e5, on: atCentral, exit: true },
        { tiles: 4, cost: 2e6 },
        { tiles: 1, exit: true },
        { tiles: 1, on: atCentral },
      ],
      5,
    ),
    // The exit starts together with the tiles: when it is taken they are in progress.
    sketchPlan(
      [
        { tiles: 5, cost: 2e6 },
        { tiles: 1, cost: 3e6, reads: 't0', exit: true },
        { tiles: 4, reads: 't1' },
      ],
      6,
    ),
    // Parts of the second stage start while tiles of the first are in progress.
    sketchPlan(
      [
        { tiles: 6, cost: 2e6 },
        { tiles: 1, needs: () => [0, 1] },
        { tiles: 1, reads: 't1' },
      ],
      7,
    ),
    // Parts that are pinned, and stages that central does not take over.
    sketchPlan(
      [
        { tiles: 3, on: { mode: 'share', nodes: '*', parts: ['n0', 'n1', 'central'] }, fallback: ['n2', 'n3'] },
        { tiles: 1, on: { mode: 'share', nodes: ['n1', 'n2'] }, fallback: 'nodes' },
        { tiles: 1, on: { mode: 'replicate', tier: 'edge' }, fallback: 'none' },
      ],
      8,
    ),
    // Nodes read the frames themselves.
    sketchPlan(
      [
        { tiles: 6, cost: 2e6 },
        { tiles: 1, on: atCentral },
      ],
      9,
      1e6,
      'topic',
    ),
    // Regions stay at nodes: tiles with halos on equal grids, then on another grid, then a tail at one node.
    sketchPlan(
      [
        { tiles: 6, cost: 2e6 },
        { tiles: 6, cost: 2e6, needs: (t_id) => [t_id - 1, t_id, t_id + 1].filter((other) => other >= 0 && other < 6) },
        { tiles: 3, cost: 4e6, needs: (t_id) => [2 * t_id, 2 * t_id + 1] },
        { tiles: 1, cost: 1e6, on: everyNode },
      ],
      12,
    ),
    // Pinned tiles, a skip to central, and a stage that only stand-ins may do.
    sketchPlan(
      [
        { tiles: 3, on: { mode: 'share', nodes: '*', parts: ['n0', 'n1', 'n2'] } },
        {
          tiles: 3,
          on: { mode: 'share', nodes: '*', parts: ['n1', 'n2', 'n3'] },
          needs: (t_id) => [t_id, (t_id + 1) % 3],
        },
        { tiles: 1, on: atCentral, reads: 't1' },
        { tiles: 2, reads: 't2', on: { mode: 'share', tier: 'cloud' }, fallback: 'nodes' },
        { tiles: 1, on: atCentral },
      ],
      13,
    ),
  ];
  cluster.confident = 0.4;
  const act = (): void => {
    const node = random.pick(NODES);
    const known = cluster.knows(node);
    switch (random.below(15)) {
      case 0:
        if (!known || cluster.state(node) === 'down') cluster.start(node, { prepareMs: random.below(300) });
        break;
      case 1:
        if (known && random.chance(0.5)) cluster.kill(node);
        break;
      case 2:
        if (known) cluster.pause(node);
        break;
      case 3:
      case 4:
        if (known) cluster.resume(node);
        break;
      case 5:
        if (known) Object.assign(cluster.behaviour(node), misbehaviour(cluster));
        break;
      case 6:
        if (random.chance(0.3)) cluster.plan(random.pick(['m', 'o']), random.pick(plans));
        break;
      case 7:
        if (random.chance(0.1)) cluster.tell({ type: 'camera-forgotten', camera: random.pick(CAMERAS) });
        else if (random.chance(0.3))
          cluster.tell({
            type: 'camera-config',
            camera: random.pick(CAMERAS),
            policy: {
              keep: random.pick(['newest', 'every']),
              deadline: random.pick(['wait', 'fill']),
              deadline_ms: random.pick([20, 100]),
              max_fps: random.pick([0, 0, 20]),
            },
          });
        break;
      case 8:
        cluster.badMove = random.chance(0.2) ? 0.1 : 0;
        cluster.badFrame = random.chance(0.2) ? 0.1 : 0;
        break;
      case 9:
        if (known && cluster.state(node) === 'up')
          cluster.born(node, random.pick(CAMERAS), [random.pick(['m', 'o'])], random.pick(LAYOUTS));
        break;
      default:
        cluster.offer(
          random.pick(CAMERAS),
          undefined,
          random.pick([['m'], ['o'], ['m', 'o'], ['nobody']]),
          random.below(90_000),
          random.pick(LAYOUTS),
        );
    }
  };
  cluster.plan('m', plans[0]!);
  cluster.plan('o', plans[1]!);
  for (let at = 0; at < ms; at += random.below(40)) cluster.at(at, act);
  cluster.run(ms);
  cluster.badMove = 0;
  for (const node of NODES) if (cluster.knows(node)) cluster.resume(node);
  cluster.settle();
  return cluster;
}

function misbehaviour({ random }: Cluster): Partial<Parameters<Cluster['start']>[1]> {
  return {
    speed: random.pick([1e6, 1e6, 5e5, 2e5, 1e4]),
    delayMs: random.pick([1, 1, 5, 200]),
    bytesPerMs: random.pick([1e5, 1e5, 200]),
    memoryBytes: random.chance(0.2) ? 50_000 : Number.POSITIVE_INFINITY,
    errors: random.chance(0.3) ? 0.3 : 0,
    lost: random.chance(0.3) ? 0.3 : 0,
    duplicated: random.chance(0.3) ? 0.5 : 0,
    dropped: random.chance(0.3) ? 0.2 : 0,
    reordered: random.chance(0.3) ? 0.5 : 0,
    reorderMs: 300,
    lies: random.chance(0.1) ? 0.5 : 0,
  };
}
