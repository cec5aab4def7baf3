import { failureOf } from '../shared/errors.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import type { Plan } from '../shared/plan/plan.ts';
import type { Log } from '../shared/ports.ts';
import type { PlanRanking } from '../shared/protocol/messages/central.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import type { MeasuredNode } from './coordinator/measured.ts';
import type { EndedFrame } from './effects.ts';
import type { FrameWork } from './frame-times.ts';
import type { NodeMeasurements } from './nodes/node-measurements.ts';
import { probe } from './nodes/probe.ts';
import type { Observer } from './observers/observer.ts';
import type { Adjustable } from './planner/adjusted.ts';
import type { PlanRequest } from './planner/default-plan.ts';
import type { PlanningGraph } from './planner/graph.ts';
import type { BlockRange } from './planner/profile/runs.ts';
import { whyBest } from './planner/ranking.ts';
import type { MeasuredFleet, Reconsidered } from './planner/reconsider.ts';
import type { Change } from './replanner/fleet.ts';
import { type KnownNode, LiveFleet } from './replanner/live-fleet.ts';
import { missingFrom } from './replanner/missing.ts';
import { PlanLatency } from './replanner/plan-latency.ts';
import { Replanner, type ReplannerEffect, type ReplannerEvent, type ReplannerOptions } from './replanner/replanner.ts';
import { testBlocks } from './replanner/test-layers.ts';
import type { ServedModel, ServedPlan } from './served-model.ts';

/** What `Replanning` needs. */
export interface ReplanningOptions extends Omit<ReplannerOptions, 'settle_ms'> {
  /** The request with which the planner chose a model's plan; undefined where that plan stays. */
  readonly requestOf: (model: ServedModel) => PlanRequest | undefined;
  /** Machines that can get work for a model, central among them; with their times where the model was profiled there. */
  readonly machines: (model: ServedModel) => readonly KnownNode[];
  readonly measuredAt: (plan: string) => ReadonlyMap<string, MeasuredNode>;
  readonly measurements: Pick<NodeMeasurements, 'order'>;
  /** Central's own work for a frame of a model. */
  readonly frameWork: (model: string) => FrameWork;
  /** A model's network as strategies see it. */
  readonly graphOf: (model: ServedModel) => Promise<PlanningGraph>;
  readonly reconsider: (
    model: ServedModel,
    request: PlanRequest,
    fleet: MeasuredFleet,
    active: Plan,
    adjustable?: Adjustable,
  ) => Promise<Reconsidered>;
  /** Is told of the plans that a search compared with the one in use. */
  readonly ranked: (model: string, ranking: PlanRanking) => void;
  readonly offer: (model: string, compiled: CompiledPlan, changes: readonly Change[]) => Promise<void>;
  readonly log: Log;
}

type PlanEffect = Extract<ReplannerEffect, { type: 'plan' }>;
type OfferEffect = Extract<ReplannerEffect, { type: 'offer' }>;

/** Time between two looks at the measurements, ms. */
const LOOK_MS = 1000;
/** How long a change lasts before it counts, ms; shorter where plans are held shorter. */
const SETTLE_MS = 2000;
/** A network that could not be looked at is looked at again after this time, ms. */
const LOOK_AGAIN_MS = 60_000;
/** A machine without work for so long is probed, ms; sooner where plans are held shorter. */
const FRESH_MS = 10_000;
/** Weight of the newest second in the rate of frames. */
const RATE_WEIGHT = 0.1;

/** What is known about the plans of one model. */
interface Served {
  readonly replanner: Replanner;
  readonly latency: PlanLatency;
  active: ServedPlan;
  /** The plan before it. */
  before: ServedPlan | undefined;
  /** What the last search saw. */
  seen: MeasuredFleet | undefined;
  /** Undefined until the network was looked at, which is never where the plan stays. */
  network: MeasuredNetwork | 'coming' | undefined;
  /** Cameras of its frames. */
  readonly cameras: Set<string>;
  fps: number;
}

/** A model's network on the machines. */
interface MeasuredNetwork {
  readonly graph: PlanningGraph;
  readonly fleet: LiveFleet;
  /** The blocks that probes run. */
  readonly test: BlockRange;
}

/**
 * Makes plans again while frames flow: measures machines and links, by their work and, where they have none, by probes;
 * has plans made in a thread; and offers them. Plans that the user deployed stay.
 */
export class Replanning implements Observer {
  readonly #options: ReplanningOptions;
  readonly #served = new Map<string, Served>();
  readonly #arrived = new Map<string, number>();
  readonly #probing = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReplanningOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  planActive(model: string, active: ServedPlan): void {
    const served = this.#served.get(model) ?? this.#newServed(active);
    const { id } = active.compiled.plan;
    if (id !== served.active.compiled.plan.id) served.before = served.active;
    served.active = active;
    served.latency.active(id);
    this.#served.set(model, served);
    this.#tell(model, served, { type: 'active', at: performance.now(), plan: id });
  }

  #newServed(active: ServedPlan): Served {
    const settle_ms = Math.min(SETTLE_MS, this.#options.hold_ms);
    const replanner = new Replanner({ ...this.#options, settle_ms });
    const latency = new PlanLatency();
    return {
      replanner,
      latency,
      active,
      before: undefined,
      seen: undefined,
      network: undefined,
      cameras: new Set(),
      fps: 0,
    };
  }

  /** The network of a model; undefined until a thread has looked at it. */
  #network(served: Served): MeasuredNetwork | undefined {
    if (served.network === undefined) {
      served.network = 'coming';
      void this.#lookAt(served);
    }
    return served.network === 'coming' ? undefined : served.network;
  }

  async #lookAt(served: Served): Promise<void> {
    const { graphOf, hold_ms, log } = this.#options;
    const { model } = served.active;
    try {
      const graph = await graphOf(model);
      const test = testBlocks(graph);
      const layers = graph.layers.map((_, layer) => layer).slice(0, graph.blocks[test[1]]!.last + 1);
      served.network = { graph, fleet: new LiveFleet(graph, layers, Math.min(FRESH_MS, hold_ms)), test };
    } catch (error) {
      log.warn(`model ${model.name} keeps its plan: ${failureOf(error).message}`);
      const again = setTimeout(() => {
        served.network = undefined;
      }, LOOK_AGAIN_MS);
      again.unref();
    }
  }

  frameArrived(camera: string): void {
    this.#arrived.set(camera, (this.#arrived.get(camera) ?? 0) + 1);
  }

  frameEnded(_frame: EndedFrame, { camera, model, plan, status, latency_ms }: ResultObject): void {
    const served = this.#served.get(model);
    served?.cameras.add(camera);
    if (status === 'ok') served?.latency.ended(plan, latency_ms);
  }

  cameraForgotten(camera: string): void {
    for (const { cameras } of this.#served.values()) cameras.delete(camera);
  }

  #look(): void {
    const at = performance.now();
    for (const [name, served] of this.#served) {
      const arrived = [...served.cameras].reduce((sum, camera) => sum + (this.#arrived.get(camera) ?? 0), 0);
      served.fps += RATE_WEIGHT * ((1000 * arrived) / LOOK_MS - served.fps);
      const { active, latency } = served;
      if (this.#options.requestOf(active.model) === undefined) continue;
      const network = this.#network(served);
      if (network === undefined) continue;
      const { fleet } = network;
      const { plan } = active.compiled;
      const machines = this.#options.machines(active.model);
      fleet.measured(at, machines, plan, this.#options.measuredAt(plan.id));
      this.#probe(active, network, at);
      const gone = missingFrom(plan, new Set(machines.map(({ id }) => id)));
      this.#tell(name, served, { type: 'measured', at, fleet: fleet.fleet, isComing: fleet.isComing(at), gone });
      if (latency.compared !== undefined) this.#tell(name, served, { type: 'proved', at, ...latency.compared });
    }
    this.#arrived.clear();
  }

  #probe(active: ServedPlan, network: MeasuredNetwork, at: number): void {
    const { fleet } = network;
    const id = fleet.toProbe(at);
    const name = `${active.model.name} ${id}`;
    if (id === undefined || this.#probing.has(name)) return;
    this.#probing.add(name);
    const { measurements, log } = this.#options;
    const { manifest } = active.model;
    void probe({ measurements, manifest, ...network, node: id, log })
      .then((found) => fleet.probed(performance.now(), id, found))
      .finally(() => this.#probing.delete(name));
  }

  #tell(name: string, served: Served, event: ReplannerEvent): void {
    const effect = served.replanner.handle(event);
    if (effect?.type === 'plan') void this.#search(name, served, effect);
    else if (effect?.type === 'offer') void this.#goBack(name, served, effect);
  }

  /** Offers the plan before the active one, which has proved slower. */
  async #goBack(name: string, { latency, active, before }: Served, { plan, changes }: OfferEffect): Promise<void> {
    const { offer, log } = this.#options;
    if (before?.compiled.plan.id !== plan) return;
    const { ms, before_ms } = latency.compared!;
    const slower = `${active.compiled.plan.id} takes ${ms.toFixed(0)} ms instead of ${before_ms.toFixed(0)}`;
    log.info(`model ${name} gets its earlier plan back: ${slower}`, { plan });
    await offer(name, before.compiled, changes).catch((error: unknown) =>
      log.warn(`model ${name} keeps its plan: ${failureOf(error).message}`),
    );
  }

  #fleet(name: string, { fps }: Served, { fleet }: MeasuredNetwork): MeasuredFleet {
    const { open_ms, finish_ms } = this.#options.frameWork(name);
    return { ...fleet.measurements, frame: { open_ms, finish_ms }, fps };
  }

  /** The plan in use and what it was made for; undefined where it is the user's strategy that makes plans. */
  #adjustable({ active, seen }: Served, { strategy }: PlanRequest): Adjustable | undefined {
    const { band } = this.#options;
    if (seen === undefined || strategy !== undefined) return undefined;
    const { nodes, links } = seen;
    return { plan: active.compiled.plan, nodes, links, band: { low: 1 / (1 + band), high: 1 + band } };
  }

  async #search(name: string, served: Served, { isLocal }: PlanEffect): Promise<void> {
    const { reconsider, requestOf, ranked, offer, log } = this.#options;
    const { active, replanner } = served;
    let found: Reconsidered = { active_ms: null, ranking: [], best: null };
    try {
      const request = requestOf(active.model);
      const network = this.#network(served);
      if (request !== undefined && network !== undefined) {
        const fleet = this.#fleet(name, served, network);
        const adjustable = isLocal ? this.#adjustable(served, request) : undefined;
        if (!isLocal) served.seen = fleet;
        if (!isLocal || adjustable !== undefined)
          found = await reconsider(active.model, request, fleet, active.compiled.plan, adjustable);
      }
    } catch (error) {
      log.warn(`model ${name} keeps its plan: ${failureOf(error).message}`);
    }
    const { active_ms, ranking, best } = found;
    if (ranking.length > 0) {
      const why = whyBest(ranking);
      const [time, plan] = [Date.now() / 1000, active.compiled.plan.id];
      ranked(name, { v: 1, time, active: plan, ...(why === undefined ? {} : { why }), plans: ranking });
    }
    const better = best === null ? null : { plan: best.compiled.plan.id, ms: best.ms };
    log.debug(`model ${name}: its plan was reconsidered`, {
      active_ms,
      best_ms: best?.ms ?? null,
      better: better?.plan,
    });
    const effect = replanner.handle({ type: 'planned', at: performance.now(), active_ms, better });
    if (effect?.type === 'plan') return this.#search(name, served, effect);
    // Meanwhile the user may have deployed a plan, or this central may have stopped.
    if (effect?.type !== 'offer' || best === null || requestOf(active.model) === undefined || this.#timer === undefined)
      return;
    const why = effect.changes.map(({ what, node }) => `${what} (${node})`).join(', ');
    const gain = `${best.ms.toFixed(0)} ms instead of ${active_ms === null ? 'none' : `${active_ms.toFixed(0)} ms`}`;
    const extra = `${(best.memory_bytes / 1e6).toFixed(0)} MB more at a node until it has taken over`;
    log.info(`model ${name} gets another plan: ${why}; predicted ${gain}; at most ${extra}`, { plan: better!.plan });
    try {
      await offer(name, best.compiled, effect.changes);
    } catch (error) {
      log.warn(`model ${name} keeps its plan: ${failureOf(error).message}`);
    }
  }
}
