import { randomInt } from 'node:crypto';
import { codecNames } from '../shared/codec/codecs.ts';
import type { Failure } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import { piecesOf } from '../shared/node/pieces.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { BlobStore, Bus } from '../shared/ports.ts';
import type { PlanRanking } from '../shared/protocol/messages/central.ts';
import { topics } from '../shared/protocol/topics.ts';
import { BlobServer } from '../shared/runtime/blob-server.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import { answerRequests } from '../shared/runtime/requests.ts';
import { packageVersion } from '../shared/runtime/version.ts';
import type { Wire } from '../shared/runtime/wire.ts';
import type { ActiveCentralOptions } from './central-options.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import type { MeasuredNode } from './coordinator/measured.ts';
import { defaultOptions } from './coordinator/options.ts';
import { EffectRunner, type EffectRunnerDeps } from './effects.ts';
import { FrameTimes, type FrameWork } from './frame-times.ts';
import type { KeptDevices } from './home-assistant/devices.ts';
import type { Window } from './http/window.ts';
import { FrameAcceptor } from './ingest/acceptor.ts';
import { BornFrames } from './ingest/born-frames.ts';
import { policyOf } from './ingest/camera-options.ts';
import { Cameras } from './ingest/cameras.ts';
import { FrameConnection } from './ingest/connection.ts';
import { type CameraFeeds, feedsOf } from './ingest/feeds.ts';
import { FrameTracker } from './journal/frame-tracker.ts';
import type { Journal } from './journal/journal.ts';
import { Drains } from './nodes/drains.ts';
import { listenToNodes } from './nodes/listen.ts';
import { answerMeasurements } from './nodes/measurement-requests.ts';
import { NodeAnswers } from './nodes/node-answers.ts';
import { NodeLink } from './nodes/node-link.ts';
import { NodeMeasurements } from './nodes/node-measurements.ts';
import type { NodeTopics } from './nodes/node-topics.ts';
import { BlobHolders } from './observers/blob-holders.ts';
import type { HomeAssistantOptions } from './observers/home-assistant.ts';
import { createObservers } from './observers/list.ts';
import type { Observer } from './observers/observer.ts';
import { Observers } from './observers/observers.ts';
import { answersOf } from './observers/readiness.ts';
import { type PlanReadiness, type ReadyOptions, ReadyWaits } from './observers/ready-waits.ts';
import type { Pictures } from './pictures/pictures.ts';
import { Publisher } from './publish/publisher.ts';
import { ResultPublisher } from './publish/result-publisher.ts';
import { WantedResults } from './publish/wanted-results.ts';
import type { ServedModel, ServedPlan } from './served-model.ts';
import { CameraSettings, type KeptSettings, type Setting } from './settings/camera-settings.ts';
import { Updates } from './updates/updates.ts';

/** What an active central works with. */
export interface ActiveCentralParts {
  readonly bus: Bus;
  /**
   * The connection for what people and apps read. A broker that is slow to take results, perhaps hundreds that an earlier
   * run left, must delay neither work nor the leader election.
   */
  readonly results: Bus;
  readonly wire: Wire;
  readonly executor: Executor;
  readonly store: BlobStore;
  readonly nodes: NodeTopics;
  readonly data: EffectRunnerDeps['data'];
  readonly journal: Journal;
  /** Draws pictures for people. */
  readonly pictures: Pick<Pictures, 'draw'>;
  /** What Home Assistant was told of. */
  readonly devices: { readonly kept: KeptDevices; readonly keep: (devices: KeptDevices) => void };
  /** What people set of cameras. */
  readonly settings: { readonly kept: KeptSettings; readonly keep: (all: KeptSettings) => void };
  readonly models: ReadonlyMap<string, ServedModel>;
  /** Models that cannot be served, with the reason. */
  readonly refused: ReadonlyMap<string, Failure>;
  /** What else follows it. */
  readonly followers: readonly Observer[];
  /** Where people look at it. */
  readonly window: Pick<Window, 'begin' | 'note'> | undefined;
  readonly epoch: number;
  readonly publicKey: string;
  /** Whether this central is the active one at this moment. */
  readonly holds: () => boolean;
  /** Opens the connection for frames. */
  readonly connect: (options: BusOptions) => Promise<Bus>;
}

/**
 * A central from its election until it stops or another central takes over: coordinator, effect runner, incoming frames
 * and outgoing results. Everything that only follows what happens is an observer.
 *
 * 1. The connection for frames opens after the first plan is known, so that no frame arrives too early.
 * 2. After the end no frame is accepted (ingest/acceptor.ts).
 * 3. Every accepted frame ends with a result, also one that was queued at the end. Results that this run could not
 *    publish are published by the next one (journal/recovery.ts).
 */
export class ActiveCentral {
  readonly #options: ActiveCentralOptions;
  readonly #parts: ActiveCentralParts;
  readonly #coordinator: Coordinator;
  readonly #answers: NodeAnswers;
  readonly #measurements: NodeMeasurements;
  readonly #link: NodeLink;
  readonly #frameTimes = new FrameTimes();
  readonly #born: BornFrames;
  readonly #effects: EffectRunner;
  readonly #publisher: Publisher;
  readonly #results: ResultPublisher;
  readonly #cameras: Cameras;
  readonly #settings: CameraSettings;
  readonly #acceptor: FrameAcceptor;
  readonly #connection: FrameConnection;
  readonly #feeds: CameraFeeds;
  readonly #blobs: BlobServer;
  readonly #observers: Observers;
  readonly #waits: ReadyWaits;
  readonly #drains: Drains;
  readonly #updates: Updates;
  #opening: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #drained: () => void = () => {};
  #stopping: Promise<void> | undefined;

  constructor(options: ActiveCentralOptions, parts: ActiveCentralParts) {
    this.#options = options;
    this.#parts = parts;
    const { log, base } = options;
    const { bus, results, wire, executor, data, epoch, models, refused, holds, connect } = parts;
    const names = topics(base);
    const throttledLog = new LogThrottle(log, () => performance.now());
    const { window } = parts;
    const publisher = new Publisher(results, names, throttledLog, (topic, payload) => window?.note(topic, payload));
    this.#publisher = publisher;
    const snapshot = () => this.#coordinator.snapshot();
    const known = (camera: string) => this.#cameras.known(camera);
    const settings = new CameraSettings({
      known,
      models: () => models.keys(),
      ...parts.settings,
    });
    this.#settings = settings;
    const waits = new ReadyWaits((plan) => answersOf(plan, snapshot()));
    this.#waits = waits;
    const features = createObservers({
      publisher,
      topics: names,
      known,
      cameras: Object.keys(options.cameras),
      settings,
      settingChanged: (camera, setting) => this.#settingChanged(camera, setting),
      pictures: parts.pictures,
      nodes: parts.nodes,
      homeAssistant: this.#homeAssistant(publisher, throttledLog),
      refused,
      snapshot,
      isAwaited: () => waits.some,
      watch: (shown) => window?.begin({ ...shown, snapshot, measuredAt: (plan) => this.measuredAt(plan) }) ?? [],
      wire,
      bus,
      answer: (handlers) => answerRequests(bus, names, handlers, log),
      log,
      throttledLog,
    });
    const holders = new BlobHolders((model) => models.get(model)?.manifest);
    const observers = new Observers([...features, ...parts.followers, waits, holders], log);
    this.#observers = observers;
    this.#cameras = new Cameras(options.cameras, options.acceptUnlistedCameras, observers, (camera, isKnown) => {
      // What people set for a camera holds from its first frame on, also after a restart.
      if (isKnown) this.#configure(camera);
      else this.#tell({ type: 'camera-forgotten', camera });
    });
    const pieces = (sha: string) =>
      [...models.values(), ...this.#effects.models()].map(({ manifest }) => piecesOf(manifest).get(sha));
    this.#blobs = new BlobServer({
      wire,
      store: parts.store,
      sizeOf: (sha) => pieces(sha).find((size) => size !== undefined),
      holders: (sha) => holders.of(sha),
      log,
      now: () => performance.now(),
    });
    const tracker = new FrameTracker(parts.journal);
    this.#results = new ResultPublisher({
      tracker,
      publisher,
      wanted: new WantedResults({ known, settings, now: () => performance.now() }),
      observers,
      isStopping: () => this.#stopping !== undefined,
    });
    this.#acceptor = new FrameAcceptor({
      base,
      cameras: this.#cameras,
      settings,
      models,
      refused,
      tracker,
      observers,
      throttledLog,
      holds,
      keep: (arrival) => this.#effects.keepPayload(arrival),
      tell: (event) => this.#tell(event),
    });
    this.#connection = new FrameConnection({
      broker: options.bus,
      connect,
      topics: names,
      onMessage: (message) => this.#acceptor.receive(message),
      holds,
      log,
    });
    const { cameras } = options;
    this.#feeds = feedsOf({
      cameras,
      known: this.#cameras,
      acceptor: this.#acceptor,
      settings,
      models,
      bus: results,
      epoch,
      log,
    });
    this.#coordinator = new Coordinator({
      ...defaultOptions,
      // A node must not know which parts are audited.
      audit_seed: randomInt(2 ** 32),
      ...options.coordinator,
      epoch,
    });
    this.#measurements = new NodeMeasurements({ send: (node, order) => this.#link.control(node, order), epoch });
    this.#answers = new NodeAnswers({
      tell: (event) => this.#tell(event),
      keep: (plan, out) => this.#effects.keepRegions(plan, out),
      measurements: this.#measurements,
    });
    this.#link = new NodeLink({ wire, executor, answers: this.#answers, log });
    this.#born = new BornFrames({
      send: (node, order) => wire.send(node, 'frame', order),
      offer: (arrival, isRepeated) => this.#acceptor.receiveBorn(arrival, isRepeated),
      reported: (camera, node, report) => this.#cameras.reported(camera, node, report),
      throttledLog,
    });
    this.#effects = new EffectRunner({
      born: this.#born,
      frameTimes: this.#frameTimes,
      link: this.#link,
      executor,
      data,
      epoch,
      log,
      tell: (event) => this.#tell(event),
      on: {
        opened: ({ ref, model, i_id }) => tracker.opened(ref, model, i_id),
        skipped: ({ ref, model, camera, reason }) => {
          if (reason === 'stopping' && model !== null) this.#results.unserved(ref, model);
          tracker.skipped(ref, model);
          this.#observers.tell('frameSkipped', camera, reason);
        },
        planActive: (model, plan) => this.#observers.tell('planActive', model, plan),
        planRetired: (plan) => this.#observers.tell('planRetired', plan),
        nodeChanged: (change) => this.#observers.tell('nodeChanged', change),
        ended: (frame) => this.#results.ended(frame),
        timer: (at) => this.#setTimer(at),
        drained: () => this.#drained(),
      },
    });
    this.#effects.knowCodecs(CENTRAL, codecNames());
    const people = { bus, topics: names, publisher, nodes: () => parts.nodes.registry.nodes, log };
    const drain = (node: string, isDrained: boolean) => this.#tell({ type: 'node-drained', node, isDrained });
    this.#drains = new Drains({ ...people, drain });
    this.#updates = new Updates({
      ...people,
      loading: () => this.#loading(),
      drain: (turn) => this.#drains.updating(turn),
      version: packageVersion(),
      time: () => Date.now() / 1000,
    });
  }

  /** Listens to nodes; frames are accepted after the first plan was offered. */
  async start(): Promise<void> {
    const { bus, results, wire, nodes, journal, epoch, publicKey } = this.#parts;
    const { base, cameras, log } = this.#options;
    for (const camera of Object.keys(cameras)) this.#configure(camera);
    for (const { camera, frame } of journal.before) this.#tell({ type: 'frame-known', camera, frame });
    this.#blobs.start();
    await listenToNodes({
      bus,
      wire,
      answers: this.#answers,
      measurements: this.#measurements,
      link: this.#link,
      born: this.#born,
      topics: topics(base),
      nodes,
      epoch,
      coordinator: this.#coordinator,
      effects: this.#effects,
      observers: this.#observers,
      tell: (event) => this.#tell(event),
      log,
    });
    const { registry } = nodes;
    const measurements = this.#measurements;
    const frameTimes = this.#frameTimes;
    const { models } = this.#parts;
    await answerMeasurements({ bus, topics: topics(base), registry, models, measurements, frameTimes, log });
    await this.#drains.start();
    await this.#updates.start();
    // Another central may have taken over meanwhile.
    if (this.#stopping !== undefined) return;
    this.#publisher.retain(topics(base).centralKey(CENTRAL), publicKey);
    this.#observers.tell('start');
    results.onConnect(() => {
      if (this.#stopping === undefined) this.#publisher.announce();
    });
  }

  /** Whether a node answered wrongly and gets no work. */
  isLeftOut(node: string): boolean {
    return this.#coordinator.snapshot().nodes[node]?.left_out === true;
  }

  /** What was measured of the nodes that may get work, at a plan. */
  measuredAt(plan: string): ReadonlyMap<string, MeasuredNode> {
    return this.#coordinator.measuredAt(plan);
  }

  /** Measurements that nodes are asked for. */
  get measurements(): Pick<NodeMeasurements, 'order'> {
    return this.#measurements;
  }

  /** What central's own work for a model's frames takes. */
  frameWork(model: string): FrameWork {
    return this.#frameTimes.of(model);
  }

  /** Offers plans for new frames of their models; open frames keep their plans. */
  async offerPlans(plans: ReadonlyMap<string, ServedPlan>): Promise<void> {
    if (this.#stopping !== undefined) return;
    for (const [model, served] of plans) {
      this.#effects.keepPlan(served);
      this.#observers.tell('planOffered', model, served.compiled.plan.id);
      this.#tell({ type: 'plan', model, facts: served.compiled });
    }
    this.#opening ??= this.#open();
    await this.#opening;
  }

  async #open(): Promise<void> {
    await this.#connection.open();
    if (this.#stopping === undefined) this.#feeds.start();
  }

  /** Publishes the plans that a search compared with the active one. */
  ranked(model: string, ranking: PlanRanking): void {
    if (this.#stopping !== undefined) return;
    this.#publisher.retain(topics(this.#options.base).planRanking(model), JSON.stringify(ranking));
  }

  /** A model was refused. */
  modelsChanged(): void {
    this.#observers.tell('modelsChanged');
  }

  /** Accepts the pending messages once this central's lease is certain. */
  resume(): void {
    this.#acceptor.resume();
  }

  /** Waits until the nodes have answered for a plan (observers/ready-waits.ts). */
  whenReady(plan: Plan, nodes: number, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#waits.whenReady(plan, nodes, options);
  }

  /** Waits until a plan serves new frames (observers/ready-waits.ts). */
  whenServed(plan: Plan, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#waits.whenServed(plan, options);
  }

  /** The caller is about to stop the nodes: their disconnections are not reported. */
  nodesStopping(): void {
    this.#observers.tell('nodesStopping');
  }

  /** The plans in use. */
  plans(): Iterable<CompiledPlan> {
    return this.#effects.plans();
  }

  /** Ends all open frames with an error: the data plane lost their tensors. */
  onDataPlaneEnd(error: Error): void {
    const failure = { code: 'TESSERA_INTERNAL', message: error.message, hint: 'send it again' } as const;
    for (const i_id of this.#effects.openFrames()) this.#tell({ type: 'frame-failed', i_id, failure });
  }

  /**
   * Ends open frames, within `graceMs`, and publishes `offline`. With `relieved` (another central has taken over) it ends
   * them at once, and leaves nodes and status to the other central. Idempotent.
   */
  stop(graceMs: number, relieved = false): Promise<void> {
    this.#stopping ??= this.#stop(graceMs, relieved);
    return this.#stopping;
  }

  async #stop(graceMs: number, relieved: boolean): Promise<void> {
    this.#acceptor.close();
    const closed = this.#feeds.stop();
    if (!relieved) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
        timer = setTimeout(resolve, graceMs);
        this.#tell({ type: 'drain' });
      });
      clearTimeout(timer);
    }
    this.#tell({ type: 'stop', relieved });
    clearTimeout(this.#timer);
    this.#blobs.stop();
    this.#updates.stop();
    this.#observers.tell('stop');
    this.#cameras.stop();
    await this.#connection.close(relieved);
    await closed;
  }

  /** What Home Assistant is told with. */
  #homeAssistant(publisher: Publisher, throttledLog: LogThrottle): HomeAssistantOptions {
    const { homeAssistant, base, cameras } = this.#options;
    const { results, models, refused, nodes, devices } = this.#parts;
    const fixed = { topics: topics(base), version: packageVersion(), prefix: homeAssistant?.prefix ?? '' };
    return {
      isEnabled: homeAssistant !== undefined,
      bus: results,
      publisher,
      context: () => ({ ...fixed, models: [...models.keys(), ...refused.keys()] }),
      cameras,
      nodes: () => nodes.registry.nodes,
      ...devices,
      throttledLog,
      time: () => Date.now() / 1000,
      random: Math.random,
    };
  }

  /** Nodes that prepare plans. */
  #loading(): Set<string> {
    const { nodes } = this.#coordinator.snapshot();
    return new Set(Object.keys(nodes).filter((id) => Object.values(nodes[id]!.plans).includes('preparing')));
  }

  #settingChanged(camera: string, setting: Setting): void {
    if (setting === 'max_fps') {
      this.#configure(camera);
      this.#feeds.rateChanged(camera);
    }
    this.#observers.tell('settingChanged', camera, setting);
  }

  /** Tells the coordinator how frames of a camera are treated. */
  #configure(camera: string): void {
    const policy = policyOf(this.#cameras.known(camera), this.#settings.number(camera, 'max_fps'));
    this.#tell({ type: 'camera-config', camera, policy });
  }

  /** The one way into the coordinator. */
  #tell(event: UntimedEvent): void {
    for (const effect of this.#coordinator.handle({ ...event, at: performance.now() })) {
      try {
        this.#effects.carryOut(effect);
      } catch (error) {
        this.#options.log.error(`effect ${effect.type}: ${error instanceof Error ? error.stack : error}`);
      }
    }
  }

  #setTimer(at: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell({ type: 'timer' }), Math.max(0, at - performance.now()));
  }
}
