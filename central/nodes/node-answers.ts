import { CENTRAL } from '../../shared/plan/plan.ts';
import { type ControlMessage, controlMessage } from '../../shared/protocol/messages/control.ts';
import { receivedResult } from '../../shared/protocol/messages/received-work.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import { type ResultMessage, type TensorMessage, tensorMessage } from '../../shared/protocol/messages/work.ts';
import type { NodeRegistry } from '../../shared/protocol/node-registry.ts';
import type { Head, HeadFilter, Wire } from '../../shared/runtime/wire.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';
import type { AnswerAddress, UntimedEvent } from '../coordinator/events.ts';
import { isMeasureAnswer, type NodeMeasurements } from './node-measurements.ts';

/** Receives what answers of nodes are turned into. */
export interface NodeAnswersOptions {
  readonly tell: (event: UntimedEvent) => void;
  /** Keeps undecoded regions that came to central; returns their name. */
  readonly keep: (plan: string, out: readonly WireRegion[]) => string;
  readonly measurements: Pick<NodeMeasurements, 'answered' | 'isAwaited'>;
}

/** Passes a node's answers to the coordinator, wherever the node runs. */
export class NodeAnswers {
  readonly #options: NodeAnswersOptions;

  constructor(options: NodeAnswersOptions) {
    this.#options = options;
  }

  control(node: string, message: ControlMessage): void {
    const { tell } = this.#options;
    if (message.type === 'ready') {
      const { plan, stages, request } = message;
      tell({ type: 'node-ready', node, plan, ...(stages === undefined ? {} : { stages }), request });
    } else if (message.type === 'refused') {
      const { plan, code, text, request } = message;
      tell({ type: 'node-refused', node, plan, code, text, request });
    } else if (message.type === 'sent') {
      const { i_id, request, bytes } = message;
      tell({ type: 'regions-sent', node, i_id, request, bytes });
    } else if (message.type === 'missing') {
      const { i_id, request, regions } = message;
      tell({ type: 'regions-missing', node, i_id, request, regions });
    } else if (isMeasureAnswer(message)) this.#options.measurements.answered(node, message);
  }

  /** Whether the node was asked for the measurement that a message answers. */
  isMeasured(node: string, { request }: Head): boolean {
    return this.#options.measurements.isAwaited(node, request);
  }

  /** Regions that a node was ordered to send. */
  tensor(node: string, { plan, i_id, stage, attempt, tiles }: TensorMessage): void {
    const { tell, keep } = this.#options;
    if (stage === undefined) return;
    for (const { t_id, out } of tiles)
      tell({ type: 'regions-arrived', node, plan, i_id, stage, t_id, attempt, handle: keep(plan, out) });
  }

  result(node: string, { plan, i_id, stage, attempt, queue_ms, tiles }: ResultMessage): void {
    const { tell, keep } = this.#options;
    for (const tile of tiles) {
      const { t_id } = tile;
      const about = { node, plan, i_id, stage, t_id, attempt };
      if ('error' in tile) {
        const { code, text, regions } = tile.error;
        const missing = regions?.map(({ tensor }) => tensor);
        tell({ type: 'part-error', ...about, code, text, ...(missing === undefined ? {} : { missing }) });
      } else {
        const came = inlineRegions(tile.out);
        const regions = tile.out.map((region) =>
          'd' in region
            ? { tensor: region.tensor, at: CENTRAL, bytes: region.d.byteLength }
            : { tensor: region.tensor, at: node, bytes: region.bytes },
        );
        const handle = came.length === 0 ? {} : { handle: keep(plan, came) };
        tell({ type: 'part-result', ...about, regions, compute_ms: tile.compute_ms, queue_ms, ...handle });
      }
    }
  }
}

/** What `takeAnswers` needs. */
export interface WireAnswersOptions {
  readonly wire: Wire;
  readonly answers: NodeAnswers;
  readonly registry: NodeRegistry;
  readonly tell: (event: UntimedEvent) => void;
  /** Whether the coordinator waits for the results that a message announces. */
  readonly isAwaited: (of: AnswerAddress) => boolean;
  /** Whether the coordinator has ordered the regions that a message announces. */
  readonly isOrdered: (of: AnswerAddress) => boolean;
  /** How many results were useless so far. */
  readonly unused: () => number;
}

/** Limits of a node's message parts that count as heartbeats: burst, and rate. */
const PARTS = { burst: 20, perSecond: 4 } as const;
/** Limits of a node's answers to `prepare`: burst, and rate. */
const CONTROLS = { burst: 200, perSecond: 20 } as const;

/**
 * Handles nodes' answers on the wire if they were requested and the node does not flood; parts of messages count as
 * heartbeats.
 */
export function takeAnswers({ wire, answers, registry, tell, isAwaited, isOrdered, unused }: WireAnswersOptions): void {
  // On a slow link heartbeats wait behind a large result; its parts show as well that the node is alive.
  const parts = new TokenBuckets(PARTS);
  wire.onPart = (node) => {
    if (parts.take(node, performance.now())) tell({ type: 'heartbeat', node });
  };

  const isWanted =
    (by: (of: AnswerAddress) => boolean): HeadFilter =>
    (node: string, { plan, i_id, stage, attempt }: Head) => {
      // Without these the address of the message is not known.
      if (typeof plan !== 'string' || typeof i_id !== 'string') return 'unknown';
      if (typeof stage !== 'number' || typeof attempt !== 'number') return 'unknown';
      return by({ node, plan, i_id, stage, attempt }) ? 'unknown' : 'unasked';
    };
  const controls = new TokenBuckets(CONTROLS);
  const mayControl: HeadFilter = (node, head) =>
    answers.isMeasured(node, head) || controls.take(node, performance.now()) ? 'unknown' : 'unasked';

  wire.on(
    'control',
    controlMessage,
    (node, message) => {
      // An earlier run of the node sent this; what it had loaded is gone.
      if (message.type === 'ready' && registry.nodes.get(node)?.info?.boot_id !== message.boot_id) return;
      answers.control(node, message);
    },
    mayControl,
  );

  wire.on(
    'result',
    receivedResult,
    (node, message) => {
      const before = unused();
      answers.result(node, message);
      const { length } = message.tiles;
      return length > 0 && unused() - before < length;
    },
    isWanted(isAwaited),
  );

  wire.on('tensor', tensorMessage, (node, message) => answers.tensor(node, message), isWanted(isOrdered));
}
