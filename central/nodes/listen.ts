import type { Bus, Log } from '../../shared/ports.ts';
import { bornFrameMessage } from '../../shared/protocol/messages/born-frame.ts';
import { echoMessage } from '../../shared/protocol/messages/echo.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Wire } from '../../shared/runtime/wire.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import type { UntimedEvent } from '../coordinator/events.ts';
import type { EffectRunner } from '../effects.ts';
import type { BornFrames } from '../ingest/born-frames.ts';
import type { Observers } from '../observers/observers.ts';
import { type NodeAnswers, takeAnswers } from './node-answers.ts';
import type { NodeLink } from './node-link.ts';
import type { NodeMeasurements } from './node-measurements.ts';
import type { NodeTopics } from './node-topics.ts';
import { answerReadmissions } from './readmission.ts';

/** What `listenToNodes` needs. */
export interface ListenOptions {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly topics: Topics;
  readonly nodes: NodeTopics;
  /** Of this central. */
  readonly epoch: number;
  readonly coordinator: Pick<Coordinator, 'isAwaited' | 'isOrdered' | 'unused' | 'snapshot'>;
  readonly answers: NodeAnswers;
  readonly measurements: Pick<NodeMeasurements, 'offline'>;
  readonly link: Pick<NodeLink, 'receiveEcho'>;
  readonly born: Pick<BornFrames, 'receive' | 'isAwaited'>;
  readonly effects: Pick<EffectRunner, 'knowCodecs'>;
  readonly observers: Pick<Observers, 'tell'>;
  readonly tell: (event: UntimedEvent) => void;
  readonly log: Log;
}

/** Tells the coordinator everything that nodes publish and answer, and what people request about nodes. */
export async function listenToNodes(options: ListenOptions): Promise<void> {
  const {
    bus,
    wire,
    answers,
    measurements,
    link,
    born,
    topics,
    nodes,
    epoch,
    coordinator,
    effects,
    observers,
    tell,
    log,
  } = options;
  takeAnswers({
    wire,
    answers,
    registry: nodes.registry,
    tell,
    isAwaited: (of) => coordinator.isAwaited(of),
    isOrdered: (of) => coordinator.isOrdered(of),
    unused: () => coordinator.unused,
  });
  wire.on(
    'frame',
    bornFrameMessage,
    (node, message) => born.receive(node, message),
    (node, head) => (born.isAwaited(node, head) ? 'unknown' : 'unasked'),
  );
  wire.on('echo', echoMessage, (node, message) => link.receiveEcho(node, message));
  nodes.follow({
    tell: (event) => {
      tell(event);
      if (event.type === 'node-offline') measurements.offline(event.node);
    },
    epoch,
    onCodecs: (node, codecs) => effects.knowCodecs(node, codecs),
    onPlans: (node, plans) => observers.tell('progress', node, plans),
  });
  await answerReadmissions({
    bus,
    topics,
    isLeftOut: (node) => coordinator.snapshot().nodes[node]?.left_out === true,
    readmit: (node) => tell({ type: 'node-readmitted', node }),
    log,
  });
  await wire.start();
}
