import type { Failure } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Log } from '../../shared/ports.ts';
import type { Wire } from '../../shared/runtime/wire.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { Cameras } from '../ingest/cameras.ts';
import type { Publisher } from '../publish/publisher.ts';
import { FallbackLog } from './fallback-log.ts';
import { FrameTotals } from './frame-totals.ts';
import { Labels } from './labels.ts';
import { LeftOutNodes } from './left-out.ts';
import { NodeEvents } from './node-events.ts';
import { Observers } from './observers.ts';
import { PlanStatuses } from './plan-statuses.ts';
import { answersOf } from './readiness.ts';
import { ReadinessLog } from './readiness-log.ts';
import { ReadyWaits } from './ready-waits.ts';
import { StatisticsReader, StatisticsReport } from './statistics.ts';

/** What observers read from and publish with. */
export interface ObserverDeps {
  readonly publisher: Publisher;
  readonly cameras: Pick<Cameras, 'hold'>;
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly snapshot: () => Snapshot;
  readonly wire: Pick<Wire, 'counters'>;
  readonly bus: Pick<Bus, 'counters'>;
  readonly log: Log;
  readonly throttledLog: LogThrottle;
}

/** The observers of an active central, and the two that its callers query. */
export interface ObserverList {
  readonly observers: Observers;
  readonly statuses: PlanStatuses;
  readonly waits: ReadyWaits;
}

/** Makes all observers of an active central; a new feature is a line here. */
export function createObservers(deps: ObserverDeps): ObserverList {
  const { publisher, cameras, refused, snapshot, wire, bus, log, throttledLog } = deps;
  const now = () => performance.now();
  const time = () => Date.now() / 1000;
  const frames = new FrameTotals(now);
  const reader = new StatisticsReader({ frames, snapshot, wire: wire.counters, bus: bus.counters });
  const statuses = new PlanStatuses({
    refused,
    publishPlan: (model, status) => publisher.plan(model, status),
    publishModels: (models) => publisher.models(models),
    time,
  });
  const waits = new ReadyWaits((plan) => ({ ...answersOf(plan, snapshot()), isServed: statuses.isActive(plan) }));
  const list = [
    frames,
    new StatisticsReport({ reader, publish: (report) => publisher.statistics(report) }),
    new Labels({
      hold: (camera) => cameras.hold(camera),
      publish: (camera, model, label) => publisher.label(camera, model, label),
    }),
    statuses,
    new NodeEvents({ publish: (event) => publisher.nodeEvent(event), log, now, time }),
    new LeftOutNodes({ publish: (nodes) => publisher.leftOut(nodes), log, time }),
    new FallbackLog(throttledLog),
    new ReadinessLog({ snapshot, isAwaited: () => waits.some, log }),
    waits,
  ];
  return { observers: new Observers(list, log), statuses, waits };
}
