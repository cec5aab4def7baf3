import { Coordinator } from '../../central/coordinator/coordinator.ts';
import type { Effect } from '../../central/coordinator/effects.ts';
import type { UntimedEvent } from '../../central/coordinator/events.ts';
import { type CoordinatorOptions, defaultOptions } from '../../central/coordinator/options.ts';
import { EffectRunner, type EffectRunnerDeps, type EndedFrame } from '../../central/effects.ts';
import { FrameTimes } from '../../central/frame-times.ts';
import { NodeAnswers } from '../../central/nodes/node-answers.ts';
import { NodeLink } from '../../central/nodes/node-link.ts';
import type { ServedModel, ServedPlan } from '../../central/served-model.ts';
import { codecNames } from '../../shared/codec/codecs.ts';
import type { SectionLayout } from '../../shared/model/sections.ts';
import type { CompiledPlan, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { Arrival, BornArrival } from '../../shared/runtime/frame-parser.ts';
import { executorDouble } from './executor-double.ts';
import { noMeasurements } from './no-measurements.ts';
import { type RecordingLog, recordingLog } from './recording-log.ts';

/** The model of a test's plan: only what the effect runner reads. */
export function servedPlan(plan: SchedulablePlan, name = 'm'): ServedPlan {
  return {
    compiled: { ...plan, approximate: false } as unknown as CompiledPlan,
    model: {
      name,
      manifest: { name, skeleton: { sha: plan.plan.model }, blobs: [] },
      card: { tiles: [], output: { iou_threshold: 0.5 } },
    } as unknown as ServedModel,
  };
}

/** A region with arbitrary content. */
export const someRegion: WireRegion = {
  tensor: 't1',
  box: [[0, 1]],
  dtype: 'uint8',
  shape: [1],
  codec: { name: 'raw' },
  d: Uint8Array.of(7),
};

/** How a work message asks for that region as an output. */
export const someOutput = { tensor: 't1', box: someRegion.box, codec: someRegion.codec, to: ['central'] };

/** A data plane without tensors: it knows which plans and frames it got, and fails for unknown ones. */
export class FakeDataPlane {
  readonly plans = new Set<string>();
  readonly frames = new Set<string>();
  /** Calls so far, a line each. */
  readonly calls: string[] = [];
  /** Methods that fail at their next call, and why. */
  readonly failing = new Map<string, Error>();
  /** Why the next outputs do not match the request. */
  wrong: string | undefined;

  async #call(method: string, ...about: readonly (string | number)[]): Promise<void> {
    this.calls.push([method, ...about].join(' '));
    const failure = this.failing.get(method);
    this.failing.delete(method);
    if (failure !== undefined) throw failure;
  }

  #know(plan: string): void {
    if (!this.plans.has(plan)) throw new Error(`the data plane does not know plan ${plan}`);
  }

  plan: EffectRunnerDeps['data']['plan'] = ({ plan }) => {
    this.plans.add(plan.id);
    return this.#call('plan', plan.id);
  };

  forgetPlan: EffectRunnerDeps['data']['forgetPlan'] = (id) => {
    this.plans.delete(id);
    return this.#call('forgetPlan', id);
  };

  open: EffectRunnerDeps['data']['open'] = async ({ i_id, plan }) => {
    await this.#call('open', i_id, plan);
    this.frames.add(i_id);
    return { width: 640, height: 480 };
  };

  pack: EffectRunnerDeps['data']['pack'] = async (iId, plan, stage, tIds) => {
    await this.#call('pack', iId, plan, stage, tIds.join());
    this.#know(plan);
    if (!this.frames.has(iId)) return undefined;
    return tIds.map((t_id) => ({ t_id, in: [someRegion], out: [someOutput] }));
  };

  packWays: EffectRunnerDeps['data']['packWays'] = async (iId, plan, stage, ways) => {
    await this.#call('packWays', iId, plan, stage, ways.map(({ t_id }) => t_id).join());
    this.#know(plan);
    return this.frames.has(iId) ? ways.map(({ t_id }) => ({ t_id, in: [], out: [someOutput] })) : [];
  };

  paste: EffectRunnerDeps['data']['paste'] = async (iId, plan, stage, tId) => {
    await this.#call('paste', iId, plan, stage, tId);
    this.#know(plan);
    const { wrong } = this;
    this.wrong = undefined;
    return { failure: wrong === undefined ? null : { code: 'TESSERA_CODEC', message: wrong }, exit: false };
  };

  clear: EffectRunnerDeps['data']['clear'] = async (iId, plan, stage, tIds) => {
    await this.#call('clear', iId, plan, stage, tIds.join());
    this.#know(plan);
  };

  agree: EffectRunnerDeps['data']['agree'] = async ({ plan, stage, t_id }) => {
    await this.#call('agree', plan, stage, t_id);
    return true;
  };

  finish: EffectRunnerDeps['data']['finish'] = async (iId, _tensors, exit) => {
    await this.#call('finish', iId, exit ?? 'outputs');
    if (!this.frames.has(iId)) throw new Error(`frame ${iId} has ended`);
    return { top: { label: 'cat', score: 1 }, predictions: [], regions: [] };
  };

  release: EffectRunnerDeps['data']['release'] = async (iId) => {
    this.frames.delete(iId);
    await this.#call('release', iId);
  };
}

/** The real coordinator and effect runner, with doubles of all dependencies; the clock advances with each event. */
export class EffectWorld {
  readonly data = new FakeDataPlane();
  readonly log: RecordingLog = recordingLog();
  /** Messages sent, in order. */
  readonly sent: { readonly to: string; readonly kind: string; readonly message: Record<string, unknown> }[] = [];
  /** Orders about frames that were born at nodes, a line each. */
  readonly orders: string[] = [];
  readonly born: EffectRunnerDeps['born'] = {
    open: async (i_id) => void this.orders.push(`open ${i_id}`),
    take: async (i_id) => {
      this.orders.push(`take ${i_id}`);
      return { v: 1, format: 'jpeg', d: new Uint8Array([1]) };
    },
    copy: async (i_id, _plan, _arrival, node) => {
      this.orders.push(`copy ${i_id} ${node}`);
      return node;
    },
    done: ({ frame }) => void this.orders.push(`done ${frame}`),
    free: (i_id) => void this.orders.push(`free ${i_id}`),
  };
  /** Calls of central's own executor, a line each. */
  readonly executed: string[] = [];
  readonly events: UntimedEvent[] = [];
  readonly ended: EndedFrame[] = [];
  readonly active: string[] = [];
  /** Accepted frames, by their i_ids. */
  readonly opened: string[] = [];
  /** Whether the next message cannot be sent. */
  wireFails = false;
  /** Whether central's own executor refuses plans and fails at parts. */
  executorFails = false;
  readonly runner: EffectRunner;
  readonly coordinator: Coordinator;
  #now = 0;
  #frames = 0;

  constructor(options: Partial<CoordinatorOptions> = {}) {
    this.coordinator = new Coordinator({ ...defaultOptions, epoch: 1, audit_share: 0, settle_ms: 0, ...options });
    const executor = executorDouble({
      prepare: async (plan) => {
        this.executed.push(`prepare ${plan.id}`);
        if (this.executorFails) throw new Error('no memory');
      },
      release: async (plan) => void this.executed.push(`release ${plan}`),
      run: async ({ plan, i_id, stage, tiles }, onPart) => {
        for (const { t_id } of tiles) {
          this.executed.push(`run ${plan} ${i_id} ${stage} ${t_id}`);
          onPart(
            this.executorFails
              ? { t_id, error: { code: 'run-failed', text: 'broken' } }
              : { t_id, out: [someRegion], compute_ms: 1 },
          );
        }
      },
      cancel: (iId, stage, tIds) => void this.executed.push(`cancel ${iId} ${stage} ${tIds.join()}`),
    });
    const wire = {
      send: async (to: string, kind: string, message: unknown) => {
        if (this.wireFails) throw new Error('the broker is gone');
        this.sent.push({ to, kind, message: message as Record<string, unknown> });
        return 123;
      },
    };
    const answers = new NodeAnswers({
      tell: (event) => this.tell(event),
      keep: (plan, out) => this.runner.keepRegions(plan, out),
      measurements: noMeasurements,
    });
    this.runner = new EffectRunner({
      data: this.data,
      born: this.born,
      link: new NodeLink({ wire, executor, answers, log: this.log }),
      executor,
      frameTimes: new FrameTimes(),
      epoch: 1,
      log: this.log,
      tell: (event) => this.tell(event),
      on: {
        opened: ({ i_id }) => void this.opened.push(i_id),
        skipped: () => {},
        planActive: (_model, { compiled }) => void this.active.push(compiled.plan.id),
        planRetired: () => {},
        nodeChanged: () => {},
        ended: (frame) => void this.ended.push(frame),
        timer: () => {},
        drained: () => {},
      },
    });
    this.runner.knowCodecs('central', codecNames());
  }

  /** Passes an event to the coordinator and carries out its effects. */
  tell(event: UntimedEvent): void {
    this.events.push(event);
    for (const effect of this.coordinator.handle({ ...event, at: this.#now++ })) this.runner.carryOut(effect);
  }

  /** Carries out one effect that did not come from the coordinator. */
  carryOut(effect: Effect): void {
    this.runner.carryOut(effect);
  }

  /** Offers a plan as an active central does. */
  offerPlan(served: ServedPlan): void {
    this.runner.keepPlan(served);
    this.tell({ type: 'plan', model: served.model.name, facts: served.compiled });
  }

  /** A frame arrives. */
  offerFrame(models: readonly string[] = ['m'], born?: BornArrival['born'], layout?: SectionLayout): void {
    const frame = `f${this.#frames++}`;
    const envelope = { v: 1, format: 'tensor', d: Uint8Array.of(1) } as const;
    const arrival: Arrival = { camera: 'front', frame, named: true, time: 0, envelope, ...(born && { born }) };
    const ref = this.runner.keepPayload(arrival);
    const at = born === undefined ? {} : { born: born.node };
    const sections = layout === undefined ? {} : { sections: { models, layout } };
    const of = { ref, camera: 'front', frame, models, bytes: 1, dedupe: false };
    this.tell({ type: 'frame-offered', ...of, ...at, ...sections });
  }

  /** A node comes online that can run everything; it answers nothing by itself. */
  startNode(node: string, codecs: readonly string[] = ['raw']): void {
    this.runner.knowCodecs(node, codecs);
    this.tell({ type: 'node-online', node, boot_id: '1', tier: 'edge', holds_frames: true });
  }

  /** Messages of one kind to one node. */
  sentTo(to: string, kind: string): Record<string, unknown>[] {
    return this.sent.filter((one) => one.to === to && one.kind === kind).map(({ message }) => message);
  }

  /** Waits until everything that was started has ended. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
