import type { Failure } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { BlobStore, Bus, Log } from '../shared/ports.ts';
import type { PlanStatus } from '../shared/protocol/messages/central.ts';
import type { WireRegion } from '../shared/protocol/messages/region.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import { topics } from '../shared/protocol/topics.ts';
import type { BusOptions } from '../shared/runtime/mqtt.ts';
import type { Wire } from '../shared/runtime/wire.ts';
import type { DataPlane } from './assembly/data-plane.ts';
import { serveBlobs } from './blob-server.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import { type CoordinatorOptions, defaultOptions } from './coordinator/options.ts';
import { EffectRunner, type EndedFrame, type ServedPlan } from './effects.ts';
import { FrameAcceptor } from './ingest/acceptor.ts';
import { type CameraOptions, Cameras } from './ingest/cameras.ts';
import { FrameConnection } from './ingest/connection.ts';
import { FrameTracker } from './journal/frame-tracker.ts';
import type { Journal } from './journal/journal.ts';
import { watchNodes } from './node-registry.ts';
import { auditSeed, LeftOutNodes } from './publish/left-out.ts';
import { NodeEvents } from './publish/node-events.ts';
import { planStatusOf } from './publish/plan-status.ts';
import { Publisher } from './publish/publisher.ts';
import { restartResult } from './publish/restart-result.ts';
import { resultOf } from './publish/result.ts';
import { Stats } from './publish/stats.ts';
import { ReadinessReport, standingOf } from './readiness.ts';
import { type PlanReadiness, type ReadyOptions, ReadyWaits } from './ready-waits.ts';
import type { ServedModel } from './served-model.ts';

/** How to reach the broker. */
export type BrokerConnection = Omit<BusOptions, 'clientId' | 'will' | 'log'>;

/** What stays the same for as long as a central runs. */
export interface ActiveCentralOptions {
  readonly bus: BrokerConnection;
  readonly base: string;
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly acceptUnlistedCameras: boolean;
  readonly coordinator?: Partial<CoordinatorOptions>;
  readonly log: Log;
}

/** What an active central works with. */
export interface ActiveCentralParts {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly executor: Executor;
  readonly store: BlobStore;
  readonly data: DataPlane;
  readonly journal: Journal;
  readonly models: ReadonlyMap<string, ServedModel>;
  /** Models that were to be served and cannot be, and why. */
  readonly refused: ReadonlyMap<string, Failure>;
  readonly epoch: number;
  readonly publicKey: string;
  /** Whether this central is the active one at this moment. */
  readonly holds: () => boolean;
}

const STATS_SECONDS = 10;
/** How often it is looked whether there is something to say about the nodes of a plan, ms. */
const READINESS_MS = 1000;

/**
 * The time in which a central is the active one: coordinator, effect runner and everything that speaks for them.
 *
 *   1. The connection for frames opens after the first plan is known, so that no frame comes too early.
 *   2. Once it ends nothing is taken in (ingest/acceptor.ts).
 *   3. However it ends, every frame that was taken in has a result, also one that waited its turn. A result is in the
 *      journal before it is given to the broker, and open there until the broker has it: what this run could not say,
 *      the next one says (recovery.ts).
 */
export class ActiveCentral {
  readonly #options: ActiveCentralOptions;
  readonly #parts: ActiveCentralParts;
  readonly #coordinator: Coordinator;
  readonly #effects: EffectRunner;
  readonly #publisher: Publisher;
  readonly #cameras: Cameras;
  readonly #acceptor: FrameAcceptor;
  readonly #connection: FrameConnection;
  readonly #tracker: FrameTracker;
  readonly #leftOut: LeftOutNodes;
  readonly #stats = new Stats();
  readonly #planStatuses = new Map<string, PlanStatus>();
  readonly #throttledLog: LogThrottle;
  readonly #readiness = new ReadinessReport();
  readonly #nodeEvents: NodeEvents;
  /** Models by plan, of those that serve or are to serve. */
  readonly #models = new Map<string, string[]>();
  /** Models for which central computes what is the nodes' to do, and why. */
  readonly #fallbacks = new Map<string, string>();
  /** The nodes are about to be stopped, which is no news. */
  #expectsEnd = false;
  #readinessTimer: NodeJS.Timeout | undefined;
  readonly #waits = new ReadyWaits((plan) => ({
    ...standingOf(plan, this.#coordinator.snapshot()),
    isServed: [...this.#planStatuses.values()].some(({ id }) => id === plan),
  }));
  #opening: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #statsTimer: NodeJS.Timeout | undefined;
  #drained: () => void = () => {};
  #stopping: Promise<void> | undefined;
  #relieved = false;

  constructor(options: ActiveCentralOptions, parts: ActiveCentralParts) {
    this.#options = options;
    this.#parts = parts;
    const { log, base } = options;
    this.#throttledLog = new LogThrottle(log, () => performance.now());
    this.#publisher = new Publisher(parts.bus, topics(base), log);
    this.#leftOut = new LeftOutNodes(log, (standing) => this.#publisher.leftOut(standing));
    this.#nodeEvents = new NodeEvents({
      publish: (event) => this.#publisher.nodeEvent(event),
      log,
      now: () => performance.now(),
      time: () => Date.now() / 1000,
    });
    this.#cameras = new Cameras(options.cameras, options.acceptUnlistedCameras, this.#publisher);
    this.#tracker = new FrameTracker(parts.journal);
    this.#connection = new FrameConnection({
      connection: options.bus,
      topics: topics(base),
      onMessage: (message) => this.#acceptor.receive(message),
      holds: parts.holds,
      log,
    });
    this.#acceptor = new FrameAcceptor({
      base,
      cameras: this.#cameras,
      models: parts.models,
      refused: parts.refused,
      tracker: this.#tracker,
      stats: this.#stats,
      throttledLog: this.#throttledLog,
      holds: parts.holds,
      keep: (arrival) => this.#effects.keepPayload(arrival),
      tell: (event) => this.#tell(event),
    });
    this.#coordinator = new Coordinator({
      ...defaultOptions,
      audit_seed: auditSeed(),
      ...options.coordinator,
      epoch: parts.epoch,
    });
    this.#effects = new EffectRunner({
      wire: parts.wire,
      executor: parts.executor,
      data: parts.data,
      epoch: parts.epoch,
      log,
      tell: (event) => this.#tell(event),
      on: {
        opened: ({ ref, model, i_id }) => this.#tracker.opened(ref, model, i_id),
        skipped: ({ ref, model, camera, reason }) => {
          if (reason === 'stopping' && model !== null) this.#endUnserved(ref, model);
          this.#tracker.skipped(ref, model);
          this.#stats.skipped(camera, reason);
        },
        planActive: (model, plan) => {
          const status = planStatusOf(plan.compiled, Date.now() / 1000);
          this.#planStatuses.set(model, status);
          this.#publisher.plan(model, status);
          this.sayModels();
          this.#waits.look();
        },
        planRetired: (plan) => void this.#models.delete(plan),
        nodeEvent: (effect) => {
          if (!this.#expectsEnd) this.#nodeEvents.say(effect);
        },
        ended: (frame) => this.#onEnded(frame),
        audited: (effect) => this.#onAudited(effect),
        timer: (at) => this.#setTimer(at),
        drained: () => this.#drained(),
      },
    });
  }

  /** Begins: nodes are heard, frames as soon as there is a plan. */
  async start(): Promise<void> {
    const { bus, wire, store, journal, publicKey } = this.#parts;
    const { base, cameras, log } = this.#options;
    for (const [camera, { models: _, hold: __, offline_after_s: ___, ...policy }] of Object.entries(cameras))
      this.#tell({ type: 'camera-config', camera, policy });
    for (const { camera, frame } of journal.before) this.#tell({ type: 'frame-known', camera, frame });
    serveBlobs(wire, store, (sha) => this.#isOffered(sha), log);
    await watchNodes({
      bus,
      wire,
      topics: topics(base),
      tell: (event) => this.#tell(event),
      epoch: this.#parts.epoch,
      isAwaited: (of) => this.#coordinator.isAwaited(of),
      unused: () => this.#coordinator.unused,
      onCodecs: (node, codecs) => this.#effects.knowCodecs(node, codecs),
      onPlans: (node, plans) => this.#readiness.hear(node, plans),
      keep: (plan, out) => this.#effects.keepResult(plan, out),
      log,
    });
    await wire.start();
    this.#publisher.key(publicKey);
    this.sayModels();
    this.#leftOut.start();
    bus.onConnect(() => {
      if (this.#stopping === undefined) this.#publisher.announce();
    });
    this.#readinessTimer = setInterval(() => this.#sayReadiness(), READINESS_MS);
    this.#statsTimer = setInterval(
      () => this.#publisher.stats(this.#stats.report(STATS_SECONDS, this.#coordinator.snapshot())),
      STATS_SECONDS * 1000,
    );
  }

  /** Puts plans to work for new frames of their models; frames under way keep theirs. */
  async offerPlans(plans: ReadonlyMap<string, ServedPlan>): Promise<void> {
    for (const [model, served] of plans) {
      this.#effects.keepPlan(served);
      const { id } = served.compiled.plan;
      this.#models.set(id, [...new Set([...(this.#models.get(id) ?? []), model])]);
      this.#tell({ type: 'plan', model, facts: served.compiled });
    }
    this.#opening ??= this.#connection.open();
    await this.#opening;
  }

  /** Says which models are served, and which cannot be. */
  sayModels(): void {
    const served = [...this.#planStatuses.keys()].map((model) => [model, { state: 'served' } as const] as const);
    const refused = [...this.#parts.refused].map(
      ([model, error]) => [model, { state: 'refused', error: { ...error } } as const] as const,
    );
    this.#publisher.models({ v: 1, models: Object.fromEntries([...served, ...refused]) });
  }

  /** What waited because it was not known whether this central is the active one is taken in. */
  resume(): void {
    this.#acceptor.resume();
  }

  /** Waits until it is decided who runs a plan (ready-waits.ts). */
  whenReady(plan: Plan, nodes: number, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#waits.whenReady(plan, nodes, options);
  }

  /** What happens to nodes from here on is no news: whoever owns them stops them. */
  expectEnd(): void {
    this.#expectsEnd = true;
  }

  /** The active plan of a model, as published. */
  planStatus(model: string): PlanStatus | undefined {
    return this.#planStatuses.get(model);
  }

  /** Open frames lost their tensors. */
  onDataPlaneEnd(error: Error): void {
    const failure = { code: 'TESSERA_INTERNAL', message: error.message, hint: 'send it again' } as const;
    for (const i_id of this.#effects.openFrames()) this.#tell({ type: 'frame-failed', i_id, failure });
  }

  /**
   * Brings open frames to their end (within `graceMs`) and publishes `offline`. Relieved by another central it ends
   * them at once, and leaves nodes and status to that one. Idempotent.
   */
  stop(graceMs: number, relieved = false): Promise<void> {
    this.#stopping ??= this.#stop(graceMs, relieved);
    return this.#stopping;
  }

  async #stop(graceMs: number, relieved: boolean): Promise<void> {
    this.#relieved = relieved;
    this.#acceptor.close();
    if (!relieved) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
        timer = setTimeout(resolve, graceMs);
        this.#tell({ type: 'drain' });
      });
      clearTimeout(timer);
    }
    this.#tell({ type: 'stop' });
    clearTimeout(this.#timer);
    clearInterval(this.#statsTimer);
    clearInterval(this.#readinessTimer);
    this.#cameras.stop();
    await this.#connection.close(relieved);
  }

  #isOffered(sha: string): boolean {
    for (const { manifest } of this.#parts.models.values())
      if (manifest.skeleton.sha === sha || manifest.blobs.some((blob) => blob.sha === sha)) return true;
    return false;
  }

  /** The one way into the coordinator. */
  #tell(event: UntimedEvent): void {
    for (const effect of this.#coordinator.handle({ ...event, at: performance.now() })) {
      // The nodes' plans are the next central's.
      if (this.#relieved && effect.type === 'release-plan' && effect.node !== CENTRAL) continue;
      try {
        this.#effects.carryOut(effect);
      } catch (error) {
        this.#options.log.error(`effect ${effect.type}: ${error instanceof Error ? error.stack : error}`);
      }
    }
    if (event.type === 'node-ready' || event.type === 'node-refused' || event.type === 'node-offline') {
      if (event.type === 'node-offline') this.#readiness.forget(event.node);
      this.#sayReadiness();
      this.#waits.look();
    }
  }

  #onAudited(effect: Parameters<LeftOutNodes['say']>[0]): void {
    this.#leftOut.say(effect, Date.now() / 1000);
    if (effect.type === 'audit-undecided') return;
    const [event, text] =
      effect.type === 'let-in'
        ? (['let-in', 'was restarted and gets work again'] as const)
        : (['left-out', 'answered wrongly and gets no more work until it is restarted'] as const);
    this.#nodeEvents.say({ type: 'node-event', node: effect.node, event, text });
  }

  #sayReadiness(): void {
    if (this.#stopping !== undefined || this.#expectsEnd) return;
    const lines = this.#readiness.lines(
      this.#models,
      this.#coordinator.snapshot(),
      performance.now(),
      this.#waits.some,
    );
    for (const { level, text } of lines) this.#options.log[level](text);
  }

  #noteFallback(model: string, fallback: ResultObject['fallback'], nodes: readonly string[]): void {
    const before = this.#fallbacks.get(model);
    if (fallback !== undefined) {
      this.#fallbacks.set(model, fallback.reason);
      if (before === fallback.reason) return;
      const text = `model ${model}: central computes what is the nodes' to do: ${fallback.text}`;
      this.#throttledLog.warn(`fallback ${model} ${fallback.reason}`, text);
    } else if (before !== undefined && nodes.some((node) => node !== CENTRAL)) this.#fallbacks.delete(model);
  }

  #onEnded({ end, arrival, model, approximate, size, answer }: EndedFrame): void {
    this.#stats.ended(end);
    const result = resultOf(end, {
      modelSha: model.version,
      task: model.card.task,
      exits: model.card.exits,
      time: arrival.time,
      ...size,
      approximate,
      answer,
    });
    this.#noteFallback(result.model, result.fallback, result.nodes);
    const text = JSON.stringify(result);
    this.#say(result, text, answer?.regions ?? [], this.#tracker.leaving(end.i_id, text));
  }

  /** A frame that was taken in and will not get its turn any more. */
  #endUnserved(ref: string, model: string): void {
    let result: ResultObject | undefined;
    const leaving = this.#tracker.unserved(ref, model, ({ n, frame }) => {
      result = restartResult({ n, ...frame }, Date.now() / 1000);
      return JSON.stringify(result);
    });
    if (leaving !== undefined && result !== undefined) this.#say(result, leaving.result, [], leaving.acknowledged);
  }

  #say(result: ResultObject, text: string, regions: WireRegion[], acknowledged: () => void): void {
    const written = this.#tracker.whenWritten();
    if (written !== undefined) return void written.then(() => this.#say(result, text, regions, acknowledged));
    const hold = this.#cameras.options(result.camera)?.hold ?? 1;
    void this.#publisher.result(result, text, regions, hold).then((arrived) => {
      // One that the broker refused has ended too: nothing more is to be done for it. One that the end of this process
      // or of its term cut off is the next run's.
      if (arrived || this.#stopping === undefined) acknowledged();
    });
  }

  #setTimer(at: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell({ type: 'timer' }), Math.max(0, at - performance.now()));
  }
}
