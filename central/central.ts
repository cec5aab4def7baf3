import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Failure, failureOf } from '../shared/errors.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { Bus, Log } from '../shared/ports.ts';
import type { PlanStatus, ResultObject, SkipReason, TensorMessage, WireRegion } from '../shared/protocol/messages.ts';
import { splitBody } from '../shared/protocol/parts.ts';
import { type Topics, topics } from '../shared/protocol/topics.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { encode } from '../shared/runtime/cbor.ts';
import { createExecutor } from '../shared/runtime/executor.ts';
import type { Executor, TileOutcome } from '../shared/runtime/executor-types.ts';
import { type BusOptions, connectBus } from '../shared/runtime/mqtt.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { DataPlane, type Finished } from './assembly/data-plane.ts';
import { serveBlobs } from './blob-server.ts';
import { Coordinator } from './coordinator/coordinator.ts';
import type { CameraPolicy, Effect, Event, FrameEnd } from './coordinator/events.ts';
import { type CoordinatorOptions, defaultOptions } from './coordinator/options.ts';
import { type Deployment, type DeployRequest, deployModel } from './deployment.ts';
import { type Untimed, watchFleet } from './fleet.ts';
import { type Arrival, Inbox } from './ingest/inbox.ts';
import { factsOf, layoutOf, type PreparedPlan } from './planner/prepared.ts';
import { HeldLabel } from './publish/label.ts';
import { resultOf } from './publish/result.ts';
import { Stats } from './publish/stats.ts';

/** What central does with one camera's frames, beside the coordinator's policy. */
export interface CameraOptions extends Partial<CameraPolicy> {
  /** Models that the camera's frames go to; empty: all that are deployed. */
  readonly models: readonly string[];
  /** Results that must agree before the label changes. */
  readonly hold: number;
  readonly offline_after_s: number;
}

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
  readonly cameras: Readonly<Record<string, CameraOptions>>;
  readonly acceptUnlistedCameras: boolean;
  readonly coordinator?: Partial<CoordinatorOptions>;
  readonly log: Log;
}

/** A frame under way, as the shell sees it. */
interface OpenFrame {
  readonly arrival: Arrival;
  readonly deployment: Deployment;
  readonly approximate: boolean;
  size: { readonly width: number | null; readonly height: number | null };
  answer: Finished | undefined;
}

const UNLISTED: CameraOptions = { models: [], hold: 3, offline_after_s: 30 };
const STATS_SECONDS = 10;

/** The next epoch: above every earlier one of this state directory, and above those of a lost one by the clock. */
async function nextEpoch(stateDir: string): Promise<number> {
  const file = join(stateDir, 'epoch');
  const last = Number(await readFile(file, 'utf8').catch(() => '0'));
  const epoch = Math.max(Number.isSafeInteger(last) ? last + 1 : 1, Math.floor(Date.now() / 1000));
  await writeFile(`${file}.new`, String(epoch), { mode: 0o600 });
  await rename(`${file}.new`, file);
  return epoch;
}

/**
 * The shell around the coordinator: turns what arrives by MQTT and from worker threads into events and carries out
 * the effects. It keeps payloads, undecoded results and answers by the names that the coordinator gives back; pixels
 * and tensors are touched by the data plane's thread only.
 */
export class Central {
  readonly #options: CentralOptions;
  readonly #log: Log;
  readonly #topics: Topics;
  readonly #bus: Bus;
  readonly #wire: Wire;
  readonly #executor: Executor;
  readonly #data: DataPlane;
  readonly #coordinator: Coordinator;
  readonly #inbox: Inbox;
  readonly #stats = new Stats();
  readonly #deployments = new Map<string, Deployment>();
  readonly #plans = new Map<string, PreparedPlan & { readonly deployment: Deployment }>();
  readonly #active = new Map<string, PlanStatus>();
  readonly #ready = new Map<string, Set<string>>();
  readonly #payloads = new Map<string, Arrival>();
  readonly #frames = new Map<string, OpenFrame>();
  readonly #handles = new Map<string, { plan: string; out: readonly WireRegion[] }>();
  readonly #labels = new Map<string, HeldLabel>();
  readonly #cameraTimers = new Map<string, NodeJS.Timeout>();
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #statsTimer: NodeJS.Timeout | undefined;
  #next = 0;
  #drained = false;
  #stopping: Promise<void> | undefined;

  constructor(
    options: CentralOptions,
    parts: {
      bus: Bus;
      wire: Wire;
      executor: Executor;
      epoch: number;
      store: Awaited<ReturnType<typeof openBlobStore>>;
    },
  ) {
    this.#options = options;
    this.#log = options.log;
    this.#topics = topics(options.base);
    this.#bus = parts.bus;
    this.#wire = parts.wire;
    this.#executor = parts.executor;
    this.#inbox = new Inbox(options.base);
    this.#data = new DataPlane((error) => this.#dataPlaneEnded(error));
    this.#coordinator = new Coordinator({ ...defaultOptions, ...options.coordinator, epoch: parts.epoch });
    this.store = parts.store;
  }

  readonly store: Awaited<ReturnType<typeof openBlobStore>>;

  async start(): Promise<void> {
    for (const [camera, { models: _, hold: __, offline_after_s: ___, ...policy }] of Object.entries(
      this.#options.cameras,
    ))
      this.#tell({ type: 'camera-config', camera, policy });
    serveBlobs(this.#wire, this.store, (sha) => this.#isOffered(sha), this.#log);
    await watchFleet({
      bus: this.#bus,
      wire: this.#wire,
      topics: this.#topics,
      tell: (event) => this.#onFleet(event),
      keep: (plan, out) => this.#keep(plan, out),
      log: this.#log,
    });
    await this.#wire.start();
    await this.#bus.subscribe(this.#topics.inputAll, 1, (message) => this.#onInput(message));
    this.#bus.onConnect(() => this.#announce());
    this.#statsTimer = setInterval(() => {
      void this.#bus.publish(this.#topics.stats, JSON.stringify(this.#stats.report(STATS_SECONDS)));
    }, STATS_SECONDS * 1000);
  }

  /** Makes a model known; frames are accepted for it once a plan is put to work (`activate`). */
  async deploy(request: DeployRequest): Promise<Deployment> {
    const deployment = await deployModel(request, this.store);
    this.#deployments.set(deployment.name, deployment);
    const { name, card, labels, input, picture, outputs } = deployment;
    await this.#data.model({ name, card, labels, input, picture, outputs });
    return deployment;
  }

  /** Puts a plan to work for new frames of its model; frames under way keep theirs. */
  async activate(model: string, prepared: PreparedPlan): Promise<void> {
    const deployment = this.#deployments.get(model)!;
    this.#plans.set(prepared.plan.id, { ...prepared, deployment });
    await this.#data.plan(layoutOf(prepared, deployment.resolved));
    this.#tell({ type: 'plan', model, facts: factsOf(prepared, deployment.resolved) });
  }

  /** Resolves when the plan serves new frames and these many nodes (central not counted) are ready for it. */
  async whenReady(plan: Plan, nodes: number, timeoutMs: number): Promise<boolean> {
    const done = (): boolean =>
      [...this.#active.values()].some((status) => status.id === plan.id) &&
      [...(this.#ready.get(plan.id) ?? [])].filter((node) => node !== CENTRAL).length >= nodes;
    const deadline = performance.now() + timeoutMs;
    while (!done()) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return true;
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
    this.#tell({ type: 'drain' });
    const deadline = performance.now() + graceMs;
    while (!this.#drained && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#tell({ type: 'stop' });
    clearTimeout(this.#timer);
    clearInterval(this.#statsTimer);
    for (const timer of this.#cameraTimers.values()) clearTimeout(timer);
    await this.#bus.publish(this.#topics.status, 'offline', { qos: 1, retain: true }).catch(() => {});
    await Promise.allSettled([this.#bus.stop(), this.#executor.stop(), this.#data.stop()]);
  }

  #isOffered(sha: string): boolean {
    for (const { manifest } of this.#deployments.values())
      if (manifest.skeleton.sha === sha || manifest.blobs.some((blob) => blob.sha === sha)) return true;
    return false;
  }

  #announce(): void {
    const publish = (topic: string, payload: string): void => {
      this.#bus.publish(topic, payload, { qos: 1, retain: true }).catch((error) => this.#log.warn(`publish: ${error}`));
    };
    publish(this.#topics.status, 'online');
    for (const [model, status] of this.#active) publish(this.#topics.plan(model), JSON.stringify(status));
    for (const camera of this.#cameraTimers.keys()) publish(this.#topics.cameraStatus(camera), 'online');
  }

  #onFleet(event: Untimed): void {
    if (event.type === 'node-ready') this.#markReady(event.plan, event.node, true);
    if (event.type === 'node-refused') this.#log.warn(`node ${event.node} refuses plan ${event.plan}: ${event.text}`);
    if (event.type === 'node-offline') for (const plan of this.#ready.keys()) this.#markReady(plan, event.node, false);
    this.#tell(event);
  }

  #markReady(plan: string, node: string, ready: boolean): void {
    const nodes = this.#ready.get(plan) ?? new Set();
    this.#ready.set(plan, nodes);
    if (ready) nodes.add(node);
    else nodes.delete(node);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #onInput(message: Parameters<Inbox['receive']>[0]): void {
    const received = this.#inbox.receive(message, Date.now());
    if (received.kind === 'pending') return;
    if (received.kind === 'skipped') {
      this.#countSkip(received.camera, received.reason, received.failure);
      return;
    }
    const { arrival } = received;
    const { camera } = arrival;
    const options = this.#options.cameras[camera];
    if (options === undefined && !this.#options.acceptUnlistedCameras) {
      this.#countSkip(camera, 'no-model');
      return;
    }
    const models =
      options === undefined || options.models.length === 0 ? [...this.#deployments.keys()] : options.models;
    this.#stats.arrived(camera);
    this.#seeCamera(camera, options ?? UNLISTED);
    const ref = String(this.#next++);
    this.#payloads.set(ref, arrival);
    this.#tell({
      type: 'frame-offered',
      ref,
      camera,
      frame: arrival.frame,
      models,
      bytes: arrival.envelope.d.byteLength,
      dedupe: arrival.named,
    });
  }

  #countSkip(camera: string, reason: SkipReason, failure?: Failure): void {
    this.#stats.skipped(camera, reason);
    const why = failure === undefined ? '' : `: ${failure.message}`;
    this.#log.debug(`frame of ${camera || 'an unknown camera'} skipped (${reason})${why}`);
    if (failure !== undefined) this.#log.warn(`${camera || 'input'}: ${failure.message}`);
  }

  #seeCamera(camera: string, { offline_after_s }: CameraOptions): void {
    const topic = this.#topics.cameraStatus(camera);
    const timer = this.#cameraTimers.get(camera);
    if (timer === undefined) void this.#bus.publish(topic, 'online', { qos: 1, retain: true }).catch(() => {});
    clearTimeout(timer);
    this.#cameraTimers.set(
      camera,
      setTimeout(() => {
        this.#cameraTimers.delete(camera);
        void this.#bus.publish(topic, 'offline', { qos: 1, retain: true }).catch(() => {});
      }, offline_after_s * 1000),
    );
  }

  /** Keeps a tile's undecoded outputs until the coordinator says what to do with them. */
  #keep(plan: string, out: readonly WireRegion[]): string {
    const handle = String(this.#next++);
    this.#handles.set(handle, { plan, out });
    return handle;
  }

  #tell(event: Untimed): void {
    for (const effect of this.#coordinator.handle({ ...event, at: performance.now() } as Event)) {
      try {
        this.#carryOut(effect);
      } catch (error) {
        this.#log.error(`effect ${effect.type} failed: ${error instanceof Error ? error.stack : error}`);
      }
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case 'prepare':
        this.#prepare(effect.node, effect.plan, effect.stages);
        return;
      case 'release-plan':
        if (effect.node === CENTRAL) void this.#executor.release(effect.plan);
        else void this.#wire.send(effect.node, 'control', { v: 1, type: 'release', plan: effect.plan });
        return;
      case 'plan-active':
        this.#planActive(effect.model, effect.plan);
        return;
      case 'plan-retired':
        this.#plans.delete(effect.plan);
        this.#ready.delete(effect.plan);
        void this.#data.forgetPlan(effect.plan);
        return;
      case 'open-frame':
        this.#openFrame(effect);
        return;
      case 'skip-frame':
        this.#countSkip(effect.camera, effect.reason);
        return;
      case 'free-payload':
        this.#payloads.delete(effect.ref);
        return;
      case 'work':
        void this.#work(effect);
        return;
      case 'cancel':
        if (effect.node === CENTRAL) this.#executor.cancel(effect.i_id, effect.stage, effect.t_ids);
        else {
          const { i_id, stage, t_ids } = effect;
          void this.#wire.send(effect.node, 'control', { v: 1, type: 'cancel', i_id, stage, t_id: [...t_ids] });
        }
        return;
      case 'paste':
        void this.#paste(effect);
        return;
      case 'discard':
        this.#handles.delete(effect.handle);
        return;
      case 'fill':
        return; // Tensors are born as zeros.
      case 'finish':
        void this.#finish(effect.i_id);
        return;
      case 'publish':
        this.#publish(effect);
        return;
      case 'release-frame':
        this.#frames.delete(effect.i_id);
        void this.#data.release(effect.i_id).catch(() => {});
        return;
      case 'set-timer':
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#tell({ type: 'timer' }), Math.max(0, effect.at - performance.now()));
        return;
      case 'drained':
        this.#drained = true;
        return;
    }
  }

  #prepare(node: string, plan: Plan, stages: readonly number[]): void {
    const prepared = this.#plans.get(plan.id);
    if (prepared === undefined) return;
    const { manifest } = prepared.deployment;
    if (node !== CENTRAL) {
      const message = { v: 1, type: 'prepare', plan, manifest, stages: [...stages] };
      this.#wire.send(node, 'control', message).catch((error) => this.#log.warn(`prepare for ${node}: ${error}`));
      return;
    }
    this.#executor.prepare(plan, stages, manifest.skeleton.sha).then(
      () => this.#onFleet({ type: 'node-ready', node, plan: plan.id }),
      (error: unknown) => {
        const { code, message } = failureOf(error);
        this.#onFleet({ type: 'node-refused', node, plan: plan.id, code, text: message });
      },
    );
  }

  #planActive(model: string, id: string): void {
    const prepared = this.#plans.get(id);
    if (prepared === undefined) return;
    const { plan } = prepared;
    const status: PlanStatus = {
      id,
      since: Date.now() / 1000,
      reason: plan.reason,
      predicted: plan.predicted,
      measured: null,
      macs_on_nodes: prepared.macsOnNodes,
      conv_macs_on_nodes: prepared.convMacsOnNodes,
      stages: plan.stages.map((stage) => ({
        id: stage.id,
        split: describeSplit(stage.split),
        outputs: [...stage.outputs],
        on: 'tier' in stage.on ? stage.on.tier : stage.on.nodes === '*' ? '*' : stage.on.nodes.join(', '),
      })),
    };
    this.#active.set(model, status);
    void this.#bus.publish(this.#topics.plan(model), JSON.stringify(status), { qos: 1, retain: true }).catch(() => {});
    this.#wake();
  }

  #openFrame({ i_id, ref, model, plan }: Extract<Effect, { type: 'open-frame' }>): void {
    const arrival = this.#payloads.get(ref)!;
    const deployment = this.#deployments.get(model)!;
    const approximate = this.#plans.get(plan)?.approximate ?? false;
    const size = { width: null, height: null };
    this.#frames.set(i_id, { arrival, deployment, approximate, size, answer: undefined });
    this.#data.open({ i_id, model, plan, frame: arrival.envelope }).then(
      (opened) => {
        const frame = this.#frames.get(i_id);
        if (frame !== undefined) frame.size = opened;
        this.#tell({ type: 'frame-opened', i_id });
      },
      (error: unknown) =>
        this.#tell({ type: 'frame-failed', i_id, failure: failureOf(error, 'TESSERA_INPUT_INVALID') }),
    );
  }

  async #work({
    node,
    plan,
    i_id,
    stage,
    attempt,
    t_ids,
    budget_ms,
  }: Extract<Effect, { type: 'work' }>): Promise<void> {
    try {
      const tiles = await this.#data.pack(i_id, plan, stage, t_ids);
      if (tiles === undefined) return;
      if (node === CENTRAL) {
        await this.#executor.run({ plan, i_id, stage, tiles }, (outcome) =>
          this.#onOwnTile(plan, i_id, stage, attempt, outcome),
        );
        return;
      }
      const bytes = await this.#wire.send(node, 'work', { v: 1, plan, i_id, stage, attempt, budget_ms, tiles });
      this.#stats.sent(node, bytes);
      this.#tell({ type: 'work-sent', node, i_id, stage, attempt, bytes });
    } catch (error) {
      const { message: text } = failureOf(error);
      this.#log.warn(`work for ${node}: ${text}`);
      for (const t_id of t_ids)
        this.#tell({ type: 'tile-error', node, plan, i_id, stage, t_id, attempt, code: 'run-failed', text });
    }
  }

  #onOwnTile(plan: string, i_id: string, stage: number, attempt: number, outcome: TileOutcome): void {
    const tile = { node: CENTRAL, plan, i_id, stage, t_id: outcome.t_id, attempt };
    if ('error' in outcome) this.#tell({ type: 'tile-error', ...tile, ...outcome.error });
    else {
      const { compute_ms } = outcome;
      this.#tell({
        type: 'tile-result',
        ...tile,
        bytes: 0,
        compute_ms,
        queue_ms: 0,
        handle: this.#keep(plan, outcome.out),
      });
    }
  }

  async #paste({ handle, i_id, stage, t_id }: Extract<Effect, { type: 'paste' }>): Promise<void> {
    const kept = this.#handles.get(handle);
    this.#handles.delete(handle);
    if (kept === undefined) return;
    const failure = await this.#data.paste(i_id, kept.plan, stage, t_id, kept.out).catch((error) => failureOf(error));
    if (failure !== null) this.#log.warn(`tile ${t_id} of stage ${stage}: ${failure.message}`);
    this.#tell({ type: 'pasted', i_id, stage, t_id, ok: failure === null });
  }

  async #finish(i_id: string): Promise<void> {
    const frame = this.#frames.get(i_id);
    try {
      const answer = await this.#data.finish(i_id, frame?.arrival.envelope.tensors ?? false);
      if (frame !== undefined) frame.answer = answer;
      this.#tell({ type: 'finished', i_id });
    } catch (error) {
      this.#tell({ type: 'finished', i_id, failure: failureOf(error) });
    }
  }

  #publish(end: FrameEnd): void {
    const frame = this.#frames.get(end.i_id);
    if (frame === undefined) return;
    const { arrival, deployment, size, answer, approximate } = frame;
    const result = resultOf(end, {
      modelSha: deployment.manifest.skeleton.sha,
      task: deployment.card.task,
      time: arrival.time,
      ...size,
      approximate,
      answer,
    });
    this.#stats.ended(end);
    const ended = end.outcome !== 'error';
    if (ended && answer !== undefined && answer.regions.length > 0) this.#publishTensors(end, answer.regions);
    const topic = this.#topics.result(end.camera, end.model);
    this.#bus
      .publish(topic, JSON.stringify(result), { qos: 1, retain: ended })
      .catch((error) => this.#log.warn(`result ${end.i_id}: ${error}`));
    if (ended && deployment.card.task !== 'raw') this.#publishLabel(result);
  }

  #publishTensors(end: FrameEnd, outputs: WireRegion[]): void {
    const body = encode({ v: 1, id: end.i_id, frame: end.frame, outputs } satisfies TensorMessage);
    const topic = this.#topics.tensor(end.camera, end.model);
    for (const part of splitBody(body, end.i_id)) void this.#bus.publish(topic, encode(part)).catch(() => {});
  }

  #publishLabel({ camera, model, top }: ResultObject): void {
    const key = `${camera}/${model}`;
    const held = this.#labels.get(key) ?? new HeldLabel((this.#options.cameras[camera] ?? UNLISTED).hold);
    this.#labels.set(key, held);
    const label = held.update(top?.label ?? null);
    if (label !== undefined)
      void this.#bus.publish(this.#topics.label(camera, model), label, { qos: 1, retain: true }).catch(() => {});
  }

  #dataPlaneEnded(error: Error): void {
    if (this.#stopping !== undefined) return;
    this.#log.error(`the data plane ended: ${error.message}`);
    for (const i_id of this.#frames.keys())
      this.#tell({ type: 'frame-failed', i_id, failure: { code: 'TESSERA_INTERNAL', message: error.message } });
  }
}

function describeSplit(split: Plan['stages'][number]['split']): string {
  if (split.kind === 'whole') return 'whole';
  if (split.kind === 'channels') return `channels ${split.sizes.length}`;
  return `tiles ${split.rows.length}x${split.cols.length} ${split.padding}`;
}

/** Connects to the broker and starts central's threads; models are deployed afterwards. */
export async function startCentral(options: CentralOptions): Promise<Central> {
  const { base, stateDir, threads, sessionMemoryMb, log } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const store = await openBlobStore(join(stateDir, 'blobs'));
  const will = { topic: topics(base).status, payload: 'offline', qos: 1, retain: true } as const;
  const bus = await connectBus({ ...options.bus, clientId: `${base}-central`, will, log });
  const executor = await createExecutor({ folder: store.folder, threads, sessionMemoryMb, log });
  const wire = new Wire({ bus, topics: topics(base), self: CENTRAL, log, now: () => performance.now() });
  const central = new Central(options, { bus, wire, executor, epoch: await nextEpoch(stateDir), store });
  await central.start();
  return central;
}
