import { channel } from 'node:diagnostics_channel';
import { failureOf } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import { missingCodecs } from '../shared/plan/capabilities.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import type { Stage } from '../shared/plan/plan.ts';
import { codecOf } from '../shared/plan/quantised-tensors.ts';
import type { Log } from '../shared/ports.ts';
import type { ControlMessage } from '../shared/protocol/messages/control.ts';
import type { WireRegion } from '../shared/protocol/messages/region.ts';
import { type Arrival, isBorn } from '../shared/runtime/frame-parser.ts';
import { AuditedParts } from './audited-parts.ts';
import type {
  Effect,
  FillEffect,
  FinishEffect,
  MoveRegionsEffect,
  NodeChange,
  OpenFrameEffect,
  PrepareEffect,
  PublishEffect,
  SendEffect,
  SkipFrameEffect,
} from './coordinator/effects.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import type { FrameEnd } from './coordinator/frame-end.ts';
import type { DataPlane, FrameAnswer, Opened } from './data-plane/data-plane.ts';
import { FrameOpening } from './frame-opening.ts';
import type { FrameTimes } from './frame-times.ts';
import type { BornFrames } from './ingest/born-frames.ts';
import type { NodeLink } from './nodes/node-link.ts';
import { isApproximate } from './planner/trained-form.ts';
import { SectionedFrames } from './sectioned-frames.ts';
import type { ServedModel, ServedPlan } from './served-model.ts';
import { WorkSender } from './work-sender.ts';

/** How a frame ended, with everything that its result says. */
export interface EndedFrame {
  readonly end: FrameEnd;
  readonly arrival: Arrival;
  readonly model: ServedModel;
  readonly approximate: boolean;
  readonly stages: readonly Stage[];
  readonly size: Opened;
  /** The prediction; undefined where the task decoder did not run. */
  readonly answer: FrameAnswer | undefined;
}

/** What the effect runner works with and whom it tells. */
export interface EffectRunnerDeps {
  readonly link: Pick<NodeLink, 'isLocal' | 'work' | 'control'>;
  /** Central's own, for audits. */
  readonly executor: Pick<Executor, 'run'>;
  readonly data: Pick<
    DataPlane,
    'plan' | 'forgetPlan' | 'open' | 'pack' | 'packWays' | 'paste' | 'clear' | 'agree' | 'finish' | 'release'
  >;
  readonly born: Pick<BornFrames, 'open' | 'take' | 'copy' | 'done' | 'free'>;
  readonly frameTimes: Pick<FrameTimes, 'add'>;
  /** The term of this central, which messages to nodes carry. */
  readonly epoch: number;
  readonly log: Log;
  /** Hands an event to the coordinator. */
  readonly tell: (event: UntimedEvent) => void;
  /** Effects that others carry out. */
  readonly on: {
    opened(effect: OpenFrameEffect): void;
    skipped(effect: SkipFrameEffect): void;
    planActive(model: string, plan: ServedPlan): void;
    planRetired(plan: string): void;
    nodeChanged(change: NodeChange): void;
    ended(frame: EndedFrame): void;
    timer(at: number): void;
    drained(): void;
  };
}

interface OpenFrame {
  readonly arrival: Arrival;
  readonly served: ServedPlan;
  /** Nodes that were asked to read it from its topic. */
  readonly copies: readonly string[];
  /** When it began to be opened, ms. */
  readonly began: number;
  size: Opened;
  answer: FrameAnswer | undefined;
  readonly section: OpenFrameEffect['section'];
}

/** Ends of frames with their traces, for benchmarks in this process. */
const ends = channel('tessera:frame-end');

const UNKNOWN_SIZE: Opened = { width: null, height: null };

/**
 * Carries out the coordinator's effects. It keeps plans (by id and model), payloads (by ref), undecoded outputs of
 * parts (by handle) and open frames (by i_id) for as long as the coordinator names them; pixels and tensors are the
 * data plane's. Nothing else tells data plane and executor of plans, so both hear of plans in the order of the
 * coordinator's decisions.
 */
export class EffectRunner {
  readonly #deps: EffectRunnerDeps;
  /** By plan and model: a network that is served under two names has one plan for both. */
  readonly #plans = new Map<string, Map<string, ServedPlan>>();
  readonly #payloads = new Map<string, Arrival>();
  readonly #handles = new Map<string, { plan: string; out: readonly WireRegion[] }>();
  readonly #frames = new Map<string, OpenFrame>();
  /** Codecs that each node announced. */
  readonly #codecs = new Map<string, readonly string[]>();
  readonly #throttledLog: LogThrottle;
  readonly #audits: AuditedParts;
  readonly #work: WorkSender;
  readonly #opening: FrameOpening;
  readonly #sectioned = new SectionedFrames();
  #next = 0;

  constructor(deps: EffectRunnerDeps) {
    this.#deps = deps;
    this.#audits = new AuditedParts(deps);
    this.#work = new WorkSender({
      ...deps,
      audits: this.#audits,
      served: (i_id) => this.#frames.get(i_id)!.served,
      control: (node, message) => this.#control(node, message),
    });
    this.#opening = new FrameOpening({
      ...deps,
      isOpen: (i_id) => this.#frames.has(i_id),
      onSize: (i_id, size) => {
        const frame = this.#frames.get(i_id);
        if (frame === undefined) return;
        frame.size = size;
        deps.frameTimes.add(frame.served.model.name, 'open', performance.now() - frame.began);
      },
    });
    this.#throttledLog = new LogThrottle(deps.log, () => performance.now());
  }

  /** Keeps a plan that is about to be offered. */
  keepPlan(plan: ServedPlan): void {
    const { id } = plan.compiled.plan;
    this.#plans.set(id, (this.#plans.get(id) ?? new Map()).set(plan.model.name, plan));
  }

  /** Keeps a frame that is offered; returns its ref. */
  keepPayload(arrival: Arrival): string {
    const ref = String(this.#next++);
    this.#payloads.set(ref, arrival);
    return ref;
  }

  /**
   * Keeps undecoded regions that came to central; returns their name.
   */
  keepRegions(plan: string, out: readonly WireRegion[]): string {
    const handle = String(this.#next++);
    this.#handles.set(handle, { plan, out });
    return handle;
  }

  /** Remembers what a node can encode and decode. */
  knowCodecs(node: string, codecs: readonly string[]): void {
    this.#codecs.set(node, codecs);
  }

  /** The plans in use, each once. */
  plans(): CompiledPlan[] {
    return [...this.#plans.keys()].map((id) => this.#anyServed(id).compiled);
  }

  /** The models of the plans in use, with the slices of weights that these read. */
  models(): ServedModel[] {
    return [...this.#plans.keys()].map((id) => this.#anyServed(id).model);
  }

  /** Ids of the frames whose tensors the data plane holds. */
  openFrames(): string[] {
    return [...this.#frames.keys()];
  }

  /** Starts to carry out an effect; its outcome is told as events. */
  carryOut(effect: Effect): void {
    const { data, born, on } = this.#deps;
    switch (effect.type) {
      case 'prepare':
        this.#prepare(effect);
        break;
      case 'release-plan':
        this.#control(effect.node, { v: 1, type: 'release', plan: effect.plan, epoch: this.#deps.epoch });
        break;
      case 'plan-added':
        void data.plan(this.#anyServed(effect.plan).compiled).catch(() => {});
        break;
      case 'plan-active':
        on.planActive(effect.model, this.#served(effect.plan, effect.model));
        break;
      case 'plan-retired':
        this.#plans.delete(effect.plan);
        on.planRetired(effect.plan);
        void data.forgetPlan(effect.plan).catch(() => {});
        break;
      case 'open-frame':
        if (effect.section === undefined || effect.section.number === 0) on.opened(effect);
        this.#open(effect);
        break;
      case 'skip-frame':
        on.skipped(effect);
        break;
      case 'take-frame':
        this.#opening.take(effect.i_id, this.#frames.get(effect.i_id)!);
        break;
      case 'free-payload': {
        const arrival = this.#payloads.get(effect.ref)!;
        if (isBorn(arrival)) born.done(arrival);
        this.#payloads.delete(effect.ref);
        break;
      }
      case 'work':
        void this.#work.send(effect);
        break;
      case 'cancel':
        this.#work.cancel(effect);
        break;
      case 'send':
        this.#send(effect);
        break;
      case 'free':
        this.#control(effect.node, { v: 1, type: 'free', i_id: [...effect.i_ids] });
        break;
      case 'move-regions':
        void this.#move(effect);
        break;
      case 'discard':
        this.#handles.delete(effect.handle);
        break;
      case 'compare':
        void this.#audits.compare(effect.audit, this.#take(effect.handle).out);
        break;
      case 'judge':
        void this.#audits.judge(effect.audit);
        break;
      case 'audit-over':
        this.#audits.forget(effect.audit);
        break;
      case 'node-event':
      case 'audit-undecided':
      case 'leave-out':
      case 'let-in':
        on.nodeChanged(effect);
        break;
      case 'fill':
        // New tensors are zeros, but regions of a node that was left out may lie there.
        void this.#fill(effect);
        break;
      case 'finish':
        void this.#finish(effect);
        break;
      case 'publish':
        this.#publish(effect);
        break;
      case 'release-frame': {
        const { arrival, copies, section, size, answer } = this.#frames.get(effect.i_id)!;
        if (section !== undefined) this.#sectioned.released(section, size, answer);
        for (const node of isBorn(arrival) ? [arrival.born.node] : copies) born.free(effect.i_id, node);
        this.#frames.delete(effect.i_id);
        void data.release(effect.i_id).catch(() => {});
        break;
      }
      case 'set-timer':
        on.timer(effect.at);
        break;
      case 'drained':
        on.drained();
        break;
    }
  }

  #served(plan: string, model: string): ServedPlan {
    return this.#plans.get(plan)!.get(model)!;
  }

  /** A plan under the first of its models: all of them are the same network. */
  #anyServed(plan: string): ServedPlan {
    return this.#plans.get(plan)!.values().next().value!;
  }

  #control(node: string, message: ControlMessage): void {
    const { link, log } = this.#deps;
    link.control(node, message).catch((error) => log.warn(`${message.type} for ${node}: ${error}`));
  }

  #prepare({ node, plan, stages, request }: PrepareEffect): void {
    const { manifest } = this.#anyServed(plan.id).model;
    const missing = missingCodecs(plan, stages, this.#codecs.get(node) ?? []);
    if (missing.length > 0) {
      const text = `it does not announce codec ${missing.join(', ')}: update it, or use a plan with other codecs`;
      // Not before the effects of the same event are carried out.
      queueMicrotask(() =>
        this.#deps.tell({ type: 'node-refused', node, plan: plan.id, code: 'TESSERA_CODEC', text, request }),
      );
      return;
    }
    const { epoch } = this.#deps;
    this.#control(node, { v: 1, type: 'prepare', plan, manifest, stages: [...stages], epoch, request });
  }

  #open(effect: OpenFrameEffect): void {
    const { i_id, ref, model, plan, copies } = effect;
    const arrival = this.#payloads.get(ref)!;
    const served = this.#served(plan, model);
    const { section } = effect;
    if (section !== undefined) this.#sectioned.opened(section, arrival, served);
    this.#frames.set(i_id, {
      arrival,
      served,
      copies,
      began: performance.now(),
      size: UNKNOWN_SIZE,
      answer: undefined,
      section,
    });
    this.#opening.open(arrival, effect);
  }

  #publish(effect: PublishEffect): void {
    const { i_id, sections } = effect;
    const frame = sections === undefined ? this.#frames.get(i_id)! : this.#sectioned.take(i_id);
    if (sections !== undefined) this.#opening.forget(i_id);
    const { arrival, served, size, answer } = frame;
    const { model, compiled } = served;
    if (ends.hasSubscribers) ends.publish(effect);
    const { plan } = compiled;
    const approximate = isApproximate(compiled, model.card);
    this.#deps.on.ended({ end: effect, arrival, model, approximate, stages: plan.stages, size, answer });
  }

  async #fill({ i_id, stage, t_ids }: FillEffect): Promise<void> {
    const plan = this.#frames.get(i_id)!.served.compiled.plan.id;
    await this.#deps.data.clear(i_id, plan, stage, t_ids).catch(() => {});
  }

  #take(handle: string): { plan: string; out: readonly WireRegion[] } {
    const kept = this.#handles.get(handle)!;
    this.#handles.delete(handle);
    return kept;
  }

  #send({ node, plan, i_id, stage, t_id, attempt, regions, to, request }: SendEffect): void {
    const made = this.#anyServed(plan).compiled.plan.stages[stage]!;
    this.#control(node, {
      v: 1,
      type: 'send',
      plan,
      i_id,
      stage,
      t_id,
      attempt,
      regions: regions.map(({ tensor, box }) => ({
        tensor,
        box: box.map(([start, end]) => [start, end]),
        codec: codecOf(made, tensor),
      })),
      to: [...to],
      request,
    });
  }

  async #move({ handle, i_id, stage, t_id, tensors, audit }: MoveRegionsEffect): Promise<void> {
    const { data, tell } = this.#deps;
    const { plan, out } = this.#take(handle);
    if (audit !== undefined) this.#audits.begin(audit, { plan, stage, t_id }, out);
    const pasted = data.paste(i_id, plan, stage, t_id, tensors, out);
    const { failure, exit } = await pasted.catch((error: unknown) => ({ failure: failureOf(error), exit: false }));
    if (failure !== null)
      this.#throttledLog.warn(
        `paste ${plan} ${stage}`,
        `part ${t_id} of stage ${stage} is not what was requested: ${failure.message}`,
      );
    tell({ type: 'regions-moved', i_id, stage, t_id, ok: failure === null, exit });
  }

  async #finish({ i_id, exit }: FinishEffect): Promise<void> {
    const { data, tell, frameTimes } = this.#deps;
    const frame = this.#frames.get(i_id)!;
    const began = performance.now();
    try {
      const tensors = frame.section === undefined && (frame.arrival.envelope.tensors ?? false);
      frame.answer = await data.finish(i_id, tensors, exit);
      frameTimes.add(frame.served.model.name, 'finish', performance.now() - began);
      tell({ type: 'finished', i_id });
    } catch (error) {
      tell({ type: 'finished', i_id, failure: failureOf(error) });
    }
  }
}
