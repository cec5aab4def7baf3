import { CENTRAL } from '../../shared/plan/plan.ts';
import { controlMessage } from '../../shared/protocol/messages/control.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import { resultMessage } from '../../shared/protocol/messages/work.ts';
import type { NodeRegistry } from '../../shared/protocol/node-registry.ts';
import type { Head, HeadFilter, Wire } from '../../shared/runtime/wire.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';
import type { AnswerAddress, PartResult, UntimedEvent } from '../coordinator/events.ts';

/** What `takeAnswers` needs. */
export interface NodeAnswersOptions {
  readonly wire: Wire;
  readonly registry: NodeRegistry;
  readonly tell: (event: UntimedEvent) => void;
  /** Whether the coordinator waits for the results that a message announces. */
  readonly isAwaited: (of: AnswerAddress) => boolean;
  /** How many results were of no use so far. */
  readonly unused: () => number;
  /** Keeps the undecoded regions that came along with a part's result; returns what the coordinator is told of them. */
  readonly keep: (plan: string, out: readonly WireRegion[]) => Pick<PartResult, 'regions' | 'handle'>;
}

/** Parts of a node's messages that count as heartbeats: at once, and in the long run. */
const PARTS = { burst: 20, perSecond: 4 } as const;
/** Answers to `prepare` that a node may give: at once, and in the long run. */
const CONTROLS = { burst: 200, perSecond: 20 } as const;

/** Tells the coordinator what nodes answer on the wire: readiness for plans, results, and that a node lives. */
export function takeAnswers({ wire, registry, tell, isAwaited, unused, keep }: NodeAnswersOptions): void {
  // On a slow link heartbeats wait behind a large result; its parts show as well that the node lives.
  const parts = new TokenBuckets(PARTS);
  wire.onPart = (node) => {
    if (parts.take(node, performance.now())) tell({ type: 'heartbeat', node });
  };

  const isRequested = (node: string, { plan, i_id, stage, attempt }: Head): ReturnType<HeadFilter> => {
    // Without these the address of the message is not known.
    if (typeof plan !== 'string' || typeof i_id !== 'string') return 'unknown';
    if (typeof stage !== 'number' || typeof attempt !== 'number') return 'unknown';
    return isAwaited({ node, plan, i_id, stage, attempt }) ? 'unknown' : 'unasked';
  };
  const controls = new TokenBuckets(CONTROLS);
  const mayControl = (node: string): ReturnType<HeadFilter> =>
    controls.take(node, performance.now()) ? 'unknown' : 'unasked';

  // Central's own executor does not answer on the wire: a message in its name is another process's.
  wire.on(
    'control',
    controlMessage,
    (node, message) => {
      if (node === CENTRAL) return;
      if (message.type === 'ready') {
        // An earlier run of the node sent this; what it had loaded is gone.
        if (registry.nodes.get(node)?.info?.boot_id !== message.boot_id) return;
        tell({ type: 'node-ready', node, plan: message.plan, ask: message.ask });
      } else if (message.type === 'refused') {
        const { plan, code, text, ask } = message;
        tell({ type: 'node-refused', node, plan, code, text, ask });
      }
    },
    mayControl,
  );

  wire.on(
    'result',
    resultMessage,
    (node, { plan, i_id, stage, attempt, queue_ms, tiles }) => {
      if (node === CENTRAL) return false;
      const before = unused();
      for (const tile of tiles) {
        const { t_id } = tile;
        const about = { node, plan, i_id, stage, t_id, attempt };
        if ('error' in tile) tell({ type: 'part-error', ...about, ...tile.error });
        else {
          // Central requests every output inline: a receipt in place of one is of no use.
          const kept = keep(plan, inlineRegions(tile.out));
          tell({ type: 'part-result', ...about, ...kept, compute_ms: tile.compute_ms, queue_ms });
        }
      }
      return tiles.length > 0 && unused() - before < tiles.length;
    },
    isRequested,
  );
}
