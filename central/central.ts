import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Complaints } from '../shared/complaints.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { BlobStore, Bus, Log, Message } from '../shared/ports.ts';
import type { PlanStatus } from '../shared/protocol/messages.ts';
import { topics } from '../shared/protocol/topics.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { createExecutor } from '../shared/runtime/executor.ts';
import type { Executor } from '../shared/runtime/executor-types.ts';
import { type BusOptions, connectBus } from '../shared/runtime/mqtt.ts';
import { openSigningKey, type SigningKey } from '../shared/runtime/signature.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { DataPlane } from './assembly/data-plane.ts';
import { serveBlobs } from './blob-server.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import type { Event } from './coordinator/events.ts';
import { type CoordinatorOptions, defaultOptions } from './coordinator/options.ts';
import { type Deployment, type DeployRequest, deployModel } from './deployment.ts';
import { type Untimed, watchFleet } from './fleet.ts';
import { type CameraOptions, Cameras } from './ingest/cameras.ts';
import { Inbox } from './ingest/inbox.ts';
import { factsOf, layoutOf, type PreparedPlan } from './planner/prepared.ts';
import { planStatusOf } from './publish/plan-status.ts';
import { Publisher } from './publish/publisher.ts';
import { resultOf } from './publish/result.ts';
import { Stats } from './publish/stats.ts';
import { type EndedFrame, Shell } from './shell.ts';

/** How to reach the broker. */
export type Connection = Omit<BusOptions, 'clientId' | 'will' | 'log'>;

/** Options of `startCentral`. */
export interface CentralOptions {
  readonly bus: Connection;
  readonly base: string;
  /** Folder for pieces of models (`blobs/`) and the epoch. */
  readonly stateDir: string;
  /** Threads of central's own executor. */
  readonly threads: number;
  readonly sessionMemoryMb: number;
  /** File of the key that models are signed with; absent: made in `stateDir` at the first start. */
  readonly signingKey?: string | undefined;
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly acceptUnlistedCameras: boolean;
  readonly coordinator?: Partial<CoordinatorOptions>;
  readonly log: Log;
}

interface Parts {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly executor: Executor;
  readonly store: BlobStore;
  readonly epoch: number;
  readonly key: SigningKey;
}

const STATS_SECONDS = 10;

/** Central, running: deploy models and put plans to work through it. */
export class Central {
  readonly #options: CentralOptions;
  readonly #parts: Parts;
  readonly #data: DataPlane;
  readonly #coordinator: Coordinator;
  readonly #shell: Shell;
  readonly #publisher: Publisher;
  readonly #cameras: Cameras;
  readonly #inbox: Inbox;
  readonly #stats = new Stats();
  readonly #deployments = new Map<string, Deployment>();
  readonly #active = new Map<string, PlanStatus>();
  readonly #complaints: Complaints;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #statsTimer: NodeJS.Timeout | undefined;
  #drained: () => void = () => {};
  #stopping: Promise<void> | undefined;

  constructor(options: CentralOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    const { log, base } = options;
    this.#complaints = new Complaints(log, () => performance.now());
    this.#publisher = new Publisher(parts.bus, topics(base), log);
    this.#cameras = new Cameras(options.cameras, options.acceptUnlistedCameras, this.#publisher);
    this.#inbox = new Inbox(base);
    this.#data = new DataPlane((error) => this.#onDataPlaneEnd(error));
    this.#coordinator = new Coordinator({ ...defaultOptions, ...options.coordinator, epoch: parts.epoch });
    this.#shell = new Shell({
      wire: parts.wire,
      executor: parts.executor,
      data: this.#data,
      log,
      tell: (event) => this.#tell(event),
      on: {
        skipped: ({ camera, reason }) => this.#stats.skipped(camera, reason),
        planActive: (model, plan) => {
          const status = planStatusOf(plan, Date.now() / 1000);
          this.#active.set(model, status);
          this.#publisher.plan(model, status);
          this.#wake();
        },
        ended: (frame) => this.#onEnded(frame),
        timer: (at) => this.#setTimer(at),
        drained: () => this.#drained(),
      },
    });
  }

  async start(): Promise<void> {
    const { bus, wire, store } = this.#parts;
    const { base, cameras, log } = this.#options;
    for (const [camera, { models: _, hold: __, offline_after_s: ___, ...policy }] of Object.entries(cameras))
      this.#tell({ type: 'camera-config', camera, policy });
    serveBlobs(wire, store, (sha) => this.#isOffered(sha), log);
    await watchFleet({
      bus,
      wire,
      topics: topics(base),
      tell: (event) => this.#tell(event),
      keep: (plan, out) => this.#shell.keepResult(plan, out),
      log,
    });
    await wire.start();
    await bus.subscribe(topics(base).inputAll, 1, (message) => this.#onInput(message));
    this.#publisher.key(this.publicKey);
    await this.#publisher.status('online');
    bus.onConnect(() => this.#publisher.announce());
    this.#statsTimer = setInterval(
      () => this.#publisher.stats(this.#stats.report(STATS_SECONDS, this.#coordinator.snapshot())),
      STATS_SECONDS * 1000,
    );
  }

  /** Makes a model known; frames are accepted for it once a plan is put to work (`activate`). */
  async deploy(request: DeployRequest): Promise<Deployment> {
    const { store, key } = this.#parts;
    const deployment = await deployModel(request, store, key);
    this.#deployments.set(deployment.name, deployment);
    const { name, card, labels, input, picture, outputs } = deployment;
    await this.#data.model({ name, card, labels, input, picture, outputs });
    return deployment;
  }

  /** Puts a plan to work for new frames of its model; frames under way keep theirs. */
  async activate(model: string, prepared: PreparedPlan): Promise<void> {
    const deployment = this.#deployments.get(model)!;
    this.#shell.addPlan({ ...prepared, deployment });
    await this.#data.plan(layoutOf(prepared, deployment.resolved));
    this.#tell({ type: 'plan', model, facts: factsOf(prepared, deployment.resolved) });
  }

  /** Resolves with true when the plan serves new frames and so many node agents are ready for it, false at the time-out. */
  async whenReady(plan: Plan, nodes: number, timeoutMs: number): Promise<boolean> {
    const isServed = (): boolean => [...this.#active.values()].some(({ id }) => id === plan.id);
    const deadline = performance.now() + timeoutMs;
    while (!isServed() || this.#readyNodes(plan.id) < nodes) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, left);
        this.#waiting.add(resolve);
      });
      clearTimeout(timer);
    }
    return true;
  }

  /** Node agents that were asked to prepare a plan and have. */
  #readyNodes(plan: string): number {
    const { nodes } = this.#coordinator.snapshot();
    return Object.entries(nodes).filter(
      ([id, { presence, plans }]) => id !== CENTRAL && presence !== 'offline' && plans[plan] === 'ready',
    ).length;
  }

  /** The public key that belongs to the signatures of models. */
  get publicKey(): string {
    return this.#parts.key.publicKey;
  }

  /** The active plan of a model, as published. */
  planStatus(model: string): PlanStatus | undefined {
    return this.#active.get(model);
  }

  /** Brings open frames to their end (within `graceMs`), publishes `offline`, frees everything. Idempotent. */
  stop(graceMs = 5000): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      timer = setTimeout(resolve, graceMs);
      this.#tell({ type: 'drain' });
    });
    clearTimeout(timer);
    this.#tell({ type: 'stop' });
    clearTimeout(this.#timer);
    clearInterval(this.#statsTimer);
    this.#cameras.stop();
    // Not awaited: `bus.stop` lets it get through, for as long as it waits; without a broker the last will speaks.
    void this.#publisher.status('offline').catch(() => {});
    await Promise.allSettled([this.#parts.bus.stop(), this.#parts.executor.stop(), this.#data.stop()]);
  }

  #isOffered(sha: string): boolean {
    for (const { manifest } of this.#deployments.values())
      if (manifest.skeleton.sha === sha || manifest.blobs.some((blob) => blob.sha === sha)) return true;
    return false;
  }

  /** The one way into the coordinator. */
  #tell(event: Untimed): void {
    this.#noteReadiness(event);
    for (const effect of this.#coordinator.handle({ ...event, at: performance.now() } as Event)) {
      try {
        this.#shell.carryOut(effect);
      } catch (error) {
        this.#options.log.error(`effect ${effect.type}: ${error instanceof Error ? error.stack : error}`);
      }
    }
  }

  #noteReadiness(event: Untimed): void {
    if (event.type === 'node-ready') {
      this.#wake();
    } else if (event.type === 'node-refused' && this.#stopping === undefined) {
      const { node, plan, code, text } = event;
      this.#complaints.warn(`${node} refuses ${plan}`, `${node} refuses plan ${plan} (${code}): ${text}`);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #onInput(message: Message): void {
    const received = this.#inbox.receive(message, Date.now());
    if (received.kind === 'pending') return;
    if (received.kind === 'skipped') {
      const { camera, reason, failure } = received;
      this.#stats.skipped(camera, reason);
      if (failure !== undefined) {
        const from = camera === '' ? 'nobody who may be a camera' : camera;
        this.#complaints.warn(`frame of ${camera}`, `a message of ${from} is no frame: ${failure.message}`);
      }
      return;
    }
    const { arrival } = received;
    const { camera, frame, named, envelope } = arrival;
    const options = this.#cameras.options(camera);
    if (options === undefined) {
      this.#stats.skipped(camera, 'no-model');
      return;
    }
    this.#stats.arrived(camera);
    this.#cameras.seen(camera, options);
    const ref = this.#shell.keepPayload(arrival);
    const models = options.models.length === 0 ? [...this.#deployments.keys()] : options.models;
    const bytes = envelope.d.byteLength;
    this.#tell({ type: 'frame-offered', ref, camera, frame, models, bytes, dedupe: named });
  }

  #onEnded({ end, arrival, deployment, approximate, size, answer }: EndedFrame): void {
    this.#stats.ended(end);
    const result = resultOf(end, {
      modelSha: deployment.manifest.skeleton.sha,
      task: deployment.card.task,
      time: arrival.time,
      ...size,
      approximate,
      answer,
    });
    this.#publisher.result(result, answer?.regions ?? [], this.#cameras.options(end.camera)?.hold ?? 1);
  }

  #setTimer(at: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell({ type: 'timer' }), Math.max(0, at - performance.now()));
  }

  #onDataPlaneEnd(error: Error): void {
    if (this.#stopping !== undefined) return;
    this.#options.log.error(`the data plane ended: ${error.message}`);
    const failure = { code: 'TESSERA_INTERNAL', message: error.message } as const;
    for (const i_id of this.#shell.openFrames()) this.#tell({ type: 'frame-failed', i_id, failure });
  }
}

/** The next epoch: above every earlier one of this state directory, and above those of a lost one by the clock. */
async function nextEpoch(stateDir: string): Promise<number> {
  const file = join(stateDir, 'epoch');
  const last = Number(await readFile(file, 'utf8').catch(() => '0'));
  const epoch = Math.max(Number.isSafeInteger(last) ? last + 1 : 1, Math.floor(Date.now() / 1000));
  await writeFile(`${file}.new`, String(epoch), { mode: 0o600 });
  await rename(`${file}.new`, file);
  return epoch;
}

/** Connects to the broker and starts central's threads; models are deployed afterwards. Throws TESSERA_BROKER, TESSERA_CONFIG. */
export async function startCentral(options: CentralOptions): Promise<Central> {
  const { base, stateDir, threads, sessionMemoryMb, log } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const key = await openSigningKey(stateDir, options.signingKey);
  const store = await openBlobStore(join(stateDir, 'blobs'));
  const will = { topic: topics(base).status, payload: 'offline', qos: 1, retain: true } as const;
  const bus = await connectBus({ ...options.bus, clientId: `${base}-central`, will, log });
  const executor = await createExecutor({ folder: store.folder, threads, sessionMemoryMb, log });
  const wire = new Wire({ bus, topics: topics(base), self: CENTRAL, log, now: () => performance.now() });
  const central = new Central(options, { bus, wire, executor, store, key, epoch: await nextEpoch(stateDir) });
  await central.start();
  return central;
}
