import type { Failure } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import type { Wire } from '../../shared/runtime/wire.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { CameraOptions } from '../ingest/camera-options.ts';
import type { NodeTopics } from '../nodes/node-topics.ts';
import type { Pictures } from '../pictures/pictures.ts';
import { PacedStates } from '../publish/paced-states.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { CameraSettings, Setting } from '../settings/camera-settings.ts';
import { CameraSources } from './camera-sources.ts';
import { CameraStatuses } from './camera-statuses.ts';
import { FallbackLog } from './fallback-log.ts';
import { FrameTotals } from './frame-totals.ts';
import { GoneNodes } from './gone-nodes.ts';
import { HomeAssistant, type HomeAssistantOptions } from './home-assistant.ts';
import { Labels } from './labels.ts';
import { LeftOutNodes } from './left-out.ts';
import { ModelStatuses } from './model-statuses.ts';
import { NodeEvents } from './node-events.ts';
import { NodeHealths } from './node-health.ts';
import { Objects } from './objects.ts';
import type { Observer } from './observer.ts';
import { PlanPreparations } from './plan-preparations.ts';
import { PlanStatuses } from './plan-statuses.ts';
import { ReadinessLog } from './readiness-log.ts';
import { SettingTopics } from './setting-topics.ts';
import { StatisticsReader, StatisticsReport } from './statistics.ts';
import { Traces, type TracesOptions } from './traces.ts';

/** What observers read from and publish with. */
export interface ObserverDeps {
  readonly publisher: Publisher;
  readonly topics: Topics;
  /** Options of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => CameraOptions | undefined;
  /** Cameras of the configuration. */
  readonly cameras: readonly string[];
  readonly settings: CameraSettings;
  readonly settingChanged: (camera: string, setting: Setting) => void;
  readonly pictures: Pick<Pictures, 'draw'>;
  readonly nodes: Pick<NodeTopics, 'registry' | 'isThrottled'>;
  readonly homeAssistant: HomeAssistantOptions;
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly snapshot: () => Snapshot;
  /** Whether a caller waits for the nodes' answers about a plan. */
  readonly isAwaited: () => boolean;
  /** Shows work to people, and lets them set what is set on topics; answers what else is to follow. */
  readonly watch: (shown: { readonly frames: FrameTotals; readonly settings: SettingTopics }) => readonly Observer[];
  readonly wire: Pick<Wire, 'counters'>;
  readonly bus: Pick<Bus, 'counters' | 'subscribe'>;
  /** Answers requests until central stops. */
  readonly answer: TracesOptions['answer'];
  readonly log: Log;
  readonly throttledLog: LogThrottle;
}

/** Makes the features of an active central; a new feature is a line here. */
export function createObservers(deps: ObserverDeps): readonly Observer[] {
  const {
    publisher,
    topics,
    nodes,
    homeAssistant,
    known,
    cameras,
    settings,
    refused,
    snapshot,
    isAwaited,
    wire,
    bus,
    log,
    throttledLog,
  } = deps;
  const now = () => performance.now();
  const time = () => Date.now() / 1000;
  const frames = new FrameTotals(now);
  const reader = new StatisticsReader({ frames, snapshot, wire: wire.counters, bus: bus.counters });
  const states = new PacedStates({ publisher, now });
  const { settingChanged: changed } = deps;
  const settingTopics = new SettingTopics({ bus, publisher, topics, settings, cameras, changed, throttledLog });
  return [
    frames,
    states,
    new StatisticsReport({ reader, publisher, topics }),
    new CameraSources({ publisher, topics, now }),
    new CameraStatuses({ publisher, topics }),
    new Labels({ known, settings, states, topics }),
    new Objects({ known, settings, pictures: deps.pictures, publisher, states, topics, throttledLog, now }),
    settingTopics,
    new PlanStatuses({ publisher, topics, time, memory: () => memoryOf(nodes.registry.nodes), log }),
    new PlanPreparations({ snapshot, publisher, topics }),
    new ModelStatuses({ refused, publisher, topics }),
    new NodeEvents({ publisher, topics, log, now, time }),
    new LeftOutNodes({ publisher, topics, log, time }),
    new NodeHealths({
      nodes: () => nodes.registry.nodes,
      isThrottled: (node) => nodes.isThrottled(node),
      states,
      topics,
    }),
    new GoneNodes({ nodes: () => nodes.registry.nodes, bus, publisher, states, topics, throttledLog, now }),
    new HomeAssistant(homeAssistant),
    new Traces({ publisher, topics, known, answer: deps.answer, throttledLog }),
    new FallbackLog(throttledLog),
    new ReadinessLog({ snapshot, isAwaited, log }),
    ...deps.watch({ frames, settings: settingTopics }),
  ];
}

/** Resident memory of the agents that are online, and of this process, as central. */
function memoryOf(nodes: NodeTopics['registry']['nodes']): Map<string, number> {
  const memory = new Map([[CENTRAL, Math.round(process.memoryUsage.rss() / 1e6)]]);
  for (const { id, online, heartbeat } of nodes.values())
    if (online && heartbeat?.rss_mb !== undefined) memory.set(id, heartbeat.rss_mb);
  return memory;
}
