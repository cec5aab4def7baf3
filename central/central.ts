import { codecNames } from '../shared/codec/codecs.ts';
import { type Failure, failureOf, TesseraError } from '../shared/errors.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import { deployRequest, profilePart } from '../shared/protocol/messages/requests.ts';
import { topics } from '../shared/protocol/topics.ts';
import { answerRequests, handler } from '../shared/runtime/requests.ts';
import { ActiveCentral, type ActiveCentralParts } from './active-central.ts';
import type { CentralOptions } from './central-options.ts';
import type { DataPlane } from './data-plane/data-plane.ts';
import { DeployedPlans } from './deployed-plans.ts';
import { compileFor, Deployments } from './deployment.ts';
import type { CentralPhase } from './http/api.ts';
import type { Window } from './http/window.ts';
import type { Journal } from './journal/journal.ts';
import type { JournalLock } from './journal/lock.ts';
import type { EpochFile } from './leadership/epoch-file.ts';
import { LeaderElection } from './leadership/leader-election.ts';
import { NodeTopics } from './nodes/node-topics.ts';
import type { Observer } from './observers/observer.ts';
import type { PlanReadiness, ReadyOptions } from './observers/ready-waits.ts';
import { choosePlan, type PlanRequest } from './planner/default-plan.ts';
import { checkPlanExits } from './planner/exits.ts';
import { isOpenToReplan } from './planner/reconsider.ts';
import type { PlanningNode } from './planner/strategy.ts';
import type { Planning } from './planning.ts';
import type { Profiles } from './profiles.ts';
import type { Change } from './replanner/fleet.ts';
import { Replanning } from './replanning.ts';
import type { LoadRequest, ServedModel, ServedPlan } from './served-model.ts';

/** What a central uses and owns: it stops all of it. */
export interface CentralParts
  extends Pick<
    ActiveCentralParts,
    'bus' | 'results' | 'wire' | 'store' | 'connect' | 'publicKey' | 'settings' | 'devices'
  > {
  readonly executor: ActiveCentralParts['executor'] & { stop(): Promise<void> };
  readonly pictures: ActiveCentralParts['pictures'] & { stop(): Promise<void> };
  /** Starts the data plane; `onEnd` is called when it ended by itself and is restarted, with the `plans` in use. */
  readonly startDataPlane: (onEnd: (error: Error) => void, plans: () => Iterable<CompiledPlan>) => CentralDataPlane;
  /** Loads a model and tries it on this machine. Throws what `loadAfterTrial` throws, and the signal's reason. */
  readonly load: (request: LoadRequest, signal: AbortSignal) => Promise<ServedModel>;
  /** The model with the slices of weights that a plan's nodes fetch. Throws TESSERA_BLOB. */
  readonly cutWeights: (model: ServedModel, compiled: CompiledPlan) => Promise<ServedModel>;
  readonly planning: Planning;
  /** Where people look at it. */
  readonly window: Window | undefined;
  readonly profiles: Pick<Profiles, 'of' | 'take'>;
  readonly lock: Pick<JournalLock, 'release'>;
  readonly journal: Journal;
  readonly epochs: Pick<EpochFile, 'last' | 'keep'>;
  readonly id: string;
  /** Identifies this run of the process. */
  readonly boot: string;
  /** Resolves when the frames that an earlier run left open have ended. */
  readonly recovery: Promise<void>;
}

/** How long the nodes that are online stay the same before a central that is not active chooses its plans again, ms. */
const SETTLE_MS = 2000;

/** How long the answer to a request to deploy a plan waits for it to serve new frames, ms. */
export const DEPLOY_MS = 60_000;

/** The calls of a data plane. */
export type CentralDataPlane = ActiveCentralParts['data'] & Pick<DataPlane, 'model' | 'stop'>;

/**
 * A central: loads models, takes part in the leader election, and serves frames while it is the active central of its
 * base topic.
 *
 *   open --lead--> candidate --elected--> active --another one takes over--> relieved;  any --stop--> stopped
 *
 * A relieved central cannot become active again: stop it, and open another one.
 */
export class Central {
  /** Resolves with the reason once another central has taken over from this one. */
  readonly relieved: Promise<TesseraError>;
  readonly #options: CentralOptions;
  readonly #parts: CentralParts;
  readonly #data: CentralDataPlane;
  readonly #election: LeaderElection;
  readonly #nodes: NodeTopics;
  readonly #models = new Map<string, ServedModel>();
  readonly #refused = new Map<string, Failure>();
  /** Plans by model that were offered before this central was elected. */
  readonly #offered = new Map<string, ServedPlan>();
  /** Plans by model that are chosen again until the election: the user's settings, and the nodes that were online. */
  readonly #served = new Map<string, { readonly request: PlanRequest; readonly chosenFor: string }>();
  readonly #deployed: DeployedPlans;
  readonly #deployments: Deployments;
  #phase: CentralPhase = 'starting';
  #choosing: NodeJS.Timeout | undefined;
  /** Plans are offered in the order of the calls, also where cutting their weights takes long. */
  #cutting: Promise<unknown> = Promise.resolve();
  #active: ActiveCentral | undefined;
  readonly #ended = new AbortController();
  #stopping: Promise<void> | undefined;

  constructor(options: CentralOptions, parts: CentralParts) {
    this.#options = options;
    this.#parts = parts;
    const { log, base } = options;
    const { bus, id, boot, epochs } = parts;
    this.#deployed = new DeployedPlans(options.stateDir, (reason) =>
      log.warn(`deployed plans cannot be read, and their models get the planner's: ${reason}`),
    );
    this.#deployments = new Deployments({
      models: this.#models,
      deployed: this.#deployed,
      choose: (name) => {
        const { request } = this.#served.get(name) ?? { request: { nodeCount: 1 } };
        return parts.planning.choose(this.#models.get(name)!, { ...request, known: this.#usable });
      },
      compile: (model, plan) => parts.planning.compile(model, plan),
      offer: (name, compiled, keep) => this.offerPlan(name, compiled, keep),
      whenServed: (plan) => this.#active!.whenServed(plan, { timeoutMs: DEPLOY_MS, signal: this.#ended.signal }),
    });
    this.#data = parts.startDataPlane(
      (error) => {
        log.error(`the data plane ended and is restarted: ${error.message}`);
        this.#active?.onDataPlaneEnd(error);
      },
      () => this.#active?.plans() ?? [],
    );
    this.#nodes = new NodeTopics({ bus, topics: topics(base), log, onChange: () => this.#chooseLater() });
    // `lead` and `choosePlan` throw the reason.
    this.#nodes.start().catch(() => {});
    let relieve: (reason: TesseraError) => void = () => {};
    this.relieved = new Promise((resolve) => {
      relieve = resolve;
    });
    this.#election = new LeaderElection({
      bus,
      topics: topics(base),
      id,
      boot,
      standby: options.standby ?? false,
      isFirst: options.isFirst,
      floor: epochs.last + 1,
      keepEpoch: (epoch) => epochs.keep(epoch),
      onHolds: () => this.#active?.resume(),
      onStepDown: (by) => {
        this.#phase = 'relieved';
        void this.#active?.stop(0, true);
        relieve(
          new TesseraError('TESSERA_CENTRAL_ACTIVE', `central "${by.id}" has taken over`, {
            hint: 'start this one again with `tessera central --standby`',
          }),
        );
      },
      onWait: (by) => {
        this.#phase = 'standby';
        options.onWait?.(by.id);
      },
      log,
    });
    parts.window?.watch({
      id,
      phase: () => this.#phase,
      nodes: this.#nodes.registry,
      bus,
      wire: parts.wire,
      journal: parts.journal,
      models: this.#models,
      refused: this.#refused,
    });
  }

  /** The address of the page that shows this central; undefined where there is none. */
  get url(): string | undefined {
    return this.#parts.window?.url;
  }

  /** The public key for the signatures of models. */
  get publicKey(): string {
    return this.#parts.publicKey;
  }

  /**
   * Loads a model, after a trial run on this machine. Its frames are served once a plan was offered (`offerPlan`).
   * Throws TESSERA_MODEL_UNSUPPORTED, and other faults of the model.
   */
  async load(request: LoadRequest): Promise<ServedModel> {
    const model = await this.#parts.load(request, this.#ended.signal);
    this.#models.set(model.name, model);
    this.#refused.delete(model.name);
    const { name, labels, input, manifest, outputs } = model;
    const names = new Map(model.names.pairs);
    await this.#data.model({ name, card: request.card, labels, input, picture: manifest.picture, outputs, names });
    return model;
  }

  /** Publishes that a model cannot be served; the other models are served. */
  refuse(model: string, failure: Failure): void {
    this.#models.delete(model);
    this.#refused.set(model, failure);
    this.#active?.modelsChanged();
  }

  /**
   * Chooses a plan for a model with the node agents that are online and what the user says. Throws TESSERA_USAGE for an
   * unknown strategy, TESSERA_PLAN_INVALID where no strategy has a plan.
   */
  async choosePlan(name: string, request: PlanRequest): Promise<CompiledPlan> {
    await this.#nodes.known();
    return choosePlan(this.#models.get(name)!, { ...request, known: this.#usable });
  }

  /**
   * Offers the plan that was deployed last for the model, otherwise chooses one. Until this central is elected it
   * chooses again when other nodes are online, so that a standby central takes over with a plan for the nodes of that
   * moment. Throws what `choosePlan` and `offerPlan` throw.
   */
  async servePlan(name: string, request: PlanRequest): Promise<CompiledPlan> {
    await this.#nodes.known();
    const chosenFor = JSON.stringify(this.#usable);
    this.#served.set(name, { request, chosenFor });
    const compiled = this.#deployedPlan(name) ?? (await this.choosePlan(name, request));
    await this.offerPlan(name, compiled);
    this.#chooseLater();
    return compiled;
  }

  /** The plan that was deployed last for a model; undefined where there is none, or it does not fit any more. */
  #deployedPlan(name: string): CompiledPlan | undefined {
    const plan = this.#deployed.of(name)?.current;
    if (plan === null || plan === undefined) return undefined;
    try {
      return compileFor(this.#models.get(name)!, plan);
    } catch (error) {
      this.#options.log.warn(
        `model ${name} is not served with the plan that was deployed: ${failureOf(error).message}`,
      );
      return undefined;
    }
  }

  /** The node agents that are online and get work. */
  get #usable(): PlanningNode[] {
    return this.#nodes.present.filter(({ id }) => this.#active?.isLeftOut(id) !== true);
  }

  #chooseLater(): void {
    clearTimeout(this.#choosing);
    if (this.#active !== undefined || this.#ended.signal.aborted) return;
    this.#choosing = setTimeout(() => this.#chooseAgain(), SETTLE_MS).unref();
  }

  /** Only before the election, since a choice that takes long would delay the renewal of the lease. */
  #chooseAgain(): void {
    if (this.#active !== undefined) return;
    const known = this.#usable;
    const chosenFor = JSON.stringify(known);
    for (const [name, { request, chosenFor: before }] of this.#served) {
      const model = this.#models.get(name);
      if (model === undefined || before === chosenFor || this.#deployedPlan(name) !== undefined) continue;
      this.#served.set(name, { request, chosenFor });
      const keepsPlan = (error: unknown): void =>
        this.#options.log.warn(`model ${name} keeps its plan: ${error instanceof Error ? error.message : error}`);
      try {
        void this.offerPlan(name, choosePlan(model, { ...request, known })).catch(keepsPlan);
      } catch (error) {
        keepsPlan(error);
      }
    }
  }

  /**
   * Offers a plan for new frames of its model, now or as soon as this central is active. Throws TESSERA_PLAN_INVALID for
   * an exit that model.yaml does not have, and what `keep` throws, which is called when the plan's weights are cut: then
   * the plan is not offered.
   */
  async offerPlan(name: string, compiled: CompiledPlan, keep?: () => void, changes?: readonly Change[]): Promise<void> {
    const model = this.#models.get(name)!;
    checkPlanExits(compiled.plan, model);
    const cut = this.#cutting.then(() => this.#parts.cutWeights(model, compiled));
    this.#cutting = cut.catch(() => {});
    const served = { compiled, model: await cut, ...(changes === undefined ? {} : { changes }) };
    keep?.();
    this.#offered.set(name, served);
    await this.#handOver();
  }

  /**
   * Takes part in the leader election and, once elected, serves frames. Throws TESSERA_CENTRAL_ACTIVE where another central
   * is active and `standby` is not set.
   */
  async lead(): Promise<void> {
    // Recovery reads the retained results of the earlier run, which results of this run replace.
    await this.#parts.recovery;
    await this.#nodes.start();
    const epoch = await this.#election.start();
    this.#ended.signal.throwIfAborted();
    const active = new ActiveCentral(this.#options, {
      ...this.#parts,
      data: this.#data,
      nodes: this.#nodes,
      models: this.#models,
      refused: this.#refused,
      followers: this.#followers(),
      epoch,
      holds: () => this.#election.holds,
    });
    this.#active = active;
    await active.start();
    if (this.#phase !== 'relieved') this.#phase = 'active';
    const { bus } = this.#parts;
    const { base, log } = this.#options;
    const { profiles } = this.#parts;
    const answers = {
      deploy: handler(deployRequest, (request) => this.#deployments.deploy(request)),
      profile: handler(profilePart, async (part) => profiles.take(part, (skeleton) => this.#checkServed(skeleton))),
    };
    await answerRequests(bus, topics(base), answers, log);
    await this.#handOver();
  }

  /** Throws TESSERA_MODEL_UNKNOWN. */
  #checkServed(skeleton: string): void {
    if ([...this.#models.values()].some(({ manifest }) => manifest.skeleton.sha === skeleton)) return;
    throw new TesseraError('TESSERA_MODEL_UNKNOWN', `central serves no model with the network ${skeleton}`, {
      hint: `it serves ${[...this.#models.keys()].join(', ') || 'none'}`,
    });
  }

  /** What makes plans again while frames flow, if it is asked for. */
  #followers(): readonly Observer[] {
    const { replan, log, coordinator } = this.#options;
    if (replan === undefined) return [];
    const { planning, profiles } = this.#parts;
    const replanning = new Replanning({
      ...replan,
      requestOf: (model) => {
        const request = this.#served.get(model.name)?.request;
        const isDeployed = Boolean(this.#deployed.of(model.name)?.current);
        return request !== undefined && !isDeployed && isOpenToReplan(model, request) ? request : undefined;
      },
      machines: ({ manifest }) => {
        const times = profiles.of(manifest.skeleton.sha);
        const own = { id: CENTRAL, tier: coordinator?.tier ?? 'edge', memory_mb: null, throttled: false } as const;
        return [...this.#usable, { ...own, codecs: codecNames(), splits: ['whole', 'tiles', 'channels'] }].map(
          (node) => ({
            throttled: this.#nodes.isThrottled(node.id),
            ...node,
            ...(times?.has(node.id) ? { times: times.get(node.id)! } : {}),
          }),
        );
      },
      measuredAt: (plan) => this.#active!.measuredAt(plan),
      frameWork: (model) => this.#active!.frameWork(model),
      measurements: { order: (node, order) => this.#active!.measurements.order(node, order) },
      graphOf: (model) => planning.graphOf(model),
      reconsider: (...args) => planning.reconsider(...args),
      ranked: (model, ranking) => this.#active!.ranked(model, ranking),
      offer: (name, compiled, changes) => this.offerPlan(name, compiled, undefined, changes),
      log,
    });
    return [replanning];
  }

  /** Gives the offered plans to the active central, if there is one. */
  async #handOver(): Promise<void> {
    if (this.#active === undefined || this.#offered.size === 0) return;
    const plans = new Map(this.#offered);
    this.#offered.clear();
    await this.#active.offerPlans(plans);
  }

  /**
   * Resolves when the plan serves new frames and `nodes` node agents are ready for it or refuse it; when `nodes` agents
   * refuse it; or at the time-out. Call it after `lead`.
   */
  whenReady(plan: Plan, nodes: number, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#active!.whenReady(plan, nodes, options);
  }

  /** The caller is about to stop the nodes: their disconnections are not reported. */
  nodesStopping(): void {
    this.#active?.nodesStopping();
  }

  /** Ends open frames within `graceMs`, publishes `offline` and frees everything. Idempotent. */
  stop(graceMs = 5000): Promise<void> {
    this.#ended.abort(new TesseraError('TESSERA_INTERNAL', 'central is stopping'));
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    const { bus, results, executor, pictures, journal, lock, window } = this.#parts;
    clearTimeout(this.#choosing);
    await this.#active?.stop(graceMs);
    // A central that takes over now finds that all frames have ended, and its results replace the retained ones.
    await results.stop().catch(() => {});
    this.#election.stop();
    await Promise.allSettled([window?.stop(), bus.stop(), executor.stop(), pictures.stop(), this.#data.stop()]);
    journal.close();
    lock.release();
  }
}
