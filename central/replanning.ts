import { failureOf } from '../shared/errors.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { Log } from '../shared/ports.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import type { MeasuredNode } from './coordinator/measured.ts';
import type { EndedFrame } from './effects.ts';
import type { FrameWork } from './frame-times.ts';
import type { NodeMeasurements } from './nodes/node-measurements.ts';
import type { Observer } from './observers/observer.ts';
import type { PlanRequest } from './planner/default-plan.ts';
import { planningGraph } from './planner/graph.ts';
import { codecTimes } from './planner/profile/codec-times.ts';
import { echoedLink } from './planner/profile/link-times.ts';
import { type BlockRange, planOfRun } from './planner/profile/runs.ts';
import { quantile } from './planner/profile/samples.ts';
import type { MeasuredFleet, Reconsidered } from './planner/reconsider.ts';
import type { PlanningNode } from './planner/strategy.ts';
import type { Change } from './replanner/fleet.ts';
import { type KnownNode, LiveFleet, type Probe } from './replanner/live-fleet.ts';
import { missingFrom } from './replanner/missing.ts';
import { Replanner, type ReplannerEvent, type ReplannerOptions } from './replanner/replanner.ts';
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
  readonly reconsider: (
    model: ServedModel,
    request: PlanRequest,
    fleet: MeasuredFleet,
    active: Plan,
  ) => Promise<Reconsidered>;
  readonly offer: (model: string, compiled: CompiledPlan, changes: readonly Change[]) => Promise<void>;
  readonly log: Log;
}

/** Time between two looks at the measurements, ms. */
const LOOK_MS = 1000;
/** How long a change lasts before it counts, ms; shorter where plans are held shorter. */
const SETTLE_MS = 2000;
/** A machine without work for so long is probed, ms; sooner where plans are held shorter. */
const FRESH_MS = 10_000;
/** The largest echo of a probe, bytes: a link that carries frames is not filled with more. */
const ECHO_BYTES = 131_072;
/** Runs of a probe's layers at a machine. */
const RUNS = { warmup: 1, repeats: 3, budget_ms: 1000 } as const;
/** Weight of the newest second in the rate of frames. */
const RATE_WEIGHT = 0.1;

/** What is known about the plans of one model. */
interface Served {
  readonly replanner: Replanner;
  readonly fleet: LiveFleet;
  readonly graph: ReturnType<typeof planningGraph>;
  readonly test: BlockRange;
  active: ServedPlan;
  /** Cameras of its frames. */
  readonly cameras: Set<string>;
  fps: number;
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
  /** What central does with tensors, once it was measured. */
  #ownCodecs: Pick<PlanningNode, 'part_ms' | 'codec_ms'> = {};
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReplanningOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    void this.#measureCodecs();
  }

  async #measureCodecs(): Promise<void> {
    const { measurements, log } = this.#options;
    try {
      const answer = await measurements.order(CENTRAL, { type: 'time-codecs' });
      if (answer.type === 'codecs-timed') this.#ownCodecs = codecTimes(answer);
    } catch (error) {
      log.debug(`codecs at central could not be measured: ${failureOf(error).message}`);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  planActive(model: string, active: ServedPlan): void {
    const known = this.#served.get(model);
    const served = known ?? this.#newServed(active);
    served.active = active;
    this.#served.set(model, served);
    const { id } = active.compiled.plan;
    this.#tell(model, served, { type: 'active', at: performance.now(), plan: id });
  }

  #newServed(active: ServedPlan): Served {
    const { hold_ms } = this.#options;
    const graph = planningGraph(active.model.resolved);
    const test = testBlocks(graph);
    const layers = graph.layers.map((_, layer) => layer).slice(0, graph.blocks[test[1]]!.last + 1);
    return {
      replanner: new Replanner({ ...this.#options, settle_ms: Math.min(SETTLE_MS, hold_ms) }),
      fleet: new LiveFleet(graph, layers, Math.min(FRESH_MS, hold_ms)),
      graph,
      test,
      active,
      cameras: new Set(),
      fps: 0,
    };
  }

  frameArrived(camera: string): void {
    this.#arrived.set(camera, (this.#arrived.get(camera) ?? 0) + 1);
  }

  frameEnded(_frame: EndedFrame, { camera, model }: ResultObject): void {
    this.#served.get(model)?.cameras.add(camera);
  }

  cameraForgotten(camera: string): void {
    for (const { cameras } of this.#served.values()) cameras.delete(camera);
  }

  #look(): void {
    const at = performance.now();
    for (const [name, served] of this.#served) {
      const arrived = [...served.cameras].reduce((sum, camera) => sum + (this.#arrived.get(camera) ?? 0), 0);
      served.fps += RATE_WEIGHT * ((1000 * arrived) / LOOK_MS - served.fps);
      const { fleet, active } = served;
      if (this.#options.requestOf(active.model) === undefined) continue;
      const { plan } = active.compiled;
      const machines = this.#options.machines(active.model);
      fleet.measured(at, machines, plan, this.#options.measuredAt(plan.id));
      this.#probe(served, at);
      const gone = missingFrom(plan, new Set(machines.map(({ id }) => id)));
      this.#tell(name, served, { type: 'measured', at, fleet: fleet.fleet, gone });
    }
    this.#arrived.clear();
  }

  #probe(served: Served, at: number): void {
    const { fleet, active } = served;
    const id = fleet.toProbe(at);
    const name = `${active.model.name} ${id}`;
    if (id === undefined || this.#probing.has(name)) return;
    this.#probing.add(name);
    void this.#measure(served, id)
      .then((probe) => fleet.probed(performance.now(), id, probe))
      .finally(() => this.#probing.delete(name));
  }

  /** What a machine without work measures; what cannot be measured now is left out. */
  async #measure({ graph, test, active }: Served, node: string): Promise<Probe> {
    const { measurements, log } = this.#options;
    const { manifest } = active.model;
    const plan = planOfRun(graph, manifest.skeleton.sha, test, node);
    let probe: Probe = {};
    try {
      if (node !== CENTRAL) {
        const answer = await measurements.order(node, { type: 'probe', to: CENTRAL, repeats: 1, bytes: ECHO_BYTES });
        if (answer.type === 'probed') {
          const { empty_ms, mbps } = echoedLink(answer.echoes);
          probe = { link: { messageMs: empty_ms, msPerByte: 1 / (125 * mbps) } };
        }
      }
      if (plan !== undefined) {
        const answer = await measurements.order(node, { type: 'measure', plan, manifest, stage: 0, ...RUNS });
        const ms = answer.type === 'measured' ? [...answer.ms].sort((a, b) => a - b) : [];
        if (ms.length > 0) probe = { ...probe, ms: quantile(ms, 0.5) };
      }
    } catch (error) {
      log.debug(`node ${node} could not be measured: ${failureOf(error).message}`);
    }
    return probe;
  }

  #tell(name: string, served: Served, event: ReplannerEvent): void {
    const effect = served.replanner.handle(event);
    if (effect?.type === 'plan') void this.#search(name, served);
  }

  #measured(name: string, { fleet, fps }: Served): MeasuredFleet {
    const { nodes, links } = fleet.measurements;
    const all = nodes.map((node) => (node.id === CENTRAL ? { ...node, ...this.#ownCodecs } : node));
    const { open_ms, finish_ms } = this.#options.frameWork(name);
    return { nodes: all, links, frame: { open_ms, finish_ms }, fps };
  }

  async #search(name: string, served: Served): Promise<void> {
    const { reconsider, requestOf, offer, log } = this.#options;
    const { active, replanner } = served;
    let found: Reconsidered = { active_ms: null, best: null };
    try {
      const request = requestOf(active.model);
      if (request !== undefined)
        found = await reconsider(active.model, request, this.#measured(name, served), active.compiled.plan);
    } catch (error) {
      log.warn(`model ${name} keeps its plan: ${failureOf(error).message}`);
    }
    const { active_ms, best } = found;
    const better = best === null ? null : { plan: best.compiled.plan.id, ms: best.ms };
    log.debug(`model ${name}: its plan was reconsidered`, {
      active_ms,
      best_ms: best?.ms ?? null,
      better: better?.plan,
    });
    const effect = replanner.handle({ type: 'planned', at: performance.now(), active_ms, better });
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
