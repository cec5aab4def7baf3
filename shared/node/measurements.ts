import { failureOf, TesseraError } from '../errors.ts';
import type { ControlMessage } from '../protocol/messages/control.ts';
import { measureCodecs } from './codec-times.ts';
import type { Echoes } from './echoes.ts';
import type { Executor } from './executor-types.ts';
import type { Plans } from './plans.ts';
import type { RuntimeSettings } from './runtime-settings.ts';
import { Turns } from './turns.ts';

/** Runs with new settings before the ones that count. */
const TUNE_WARM_UP = 2;

/** Measurements that run and wait. */
const MOST_WAITING = 8;

/** What measuring at a node needs. */
export interface MeasurementsOptions {
  readonly executor: Pick<Executor, 'plans' | 'measure' | 'tune' | 'keep' | 'take' | 'free'>;
  readonly plans: Pick<Plans, 'prepare' | 'release'>;
  readonly echoes: Pick<Echoes, 'measure'>;
  /** A steady clock, ms. */
  readonly now: () => number;
  /** Keeps a model's settings for later runs of this process; absent: this node is not tuned. */
  readonly keepSettings?: ((skeleton: string, settings: RuntimeSettings) => void) | undefined;
}

/** An order to measure something. */
export type MeasureOrder = Extract<ControlMessage, { type: 'measure' | 'tune' | 'probe' | 'time-codecs' }>;
const ORDERS: readonly string[] = ['measure', 'tune', 'probe', 'time-codecs'] satisfies MeasureOrder['type'][];

/** Whether a message orders a measurement. */
export function isMeasureOrder(message: ControlMessage): message is MeasureOrder {
  return ORDERS.includes(message.type);
}

type StageOrder = Extract<MeasureOrder, { type: 'measure' | 'tune' }>;

/**
 * Measures at a node what central asks for: the time of a stage, the fastest settings, a link, or codecs. One after another: two
 * at a time would measure each other.
 */
export class Measurements {
  readonly #options: MeasurementsOptions;
  readonly #turns = new Turns();
  #waiting = 0;

  constructor(options: MeasurementsOptions) {
    this.#options = options;
  }

  /** Carries an order out; resolves to its answer. Never throws. */
  async carryOut(from: string, order: MeasureOrder): Promise<ControlMessage> {
    const { request } = order;
    try {
      if (this.#waiting >= MOST_WAITING)
        throw new TesseraError('TESSERA_RUN_FAILED', `${MOST_WAITING} measurements wait here already`);
      this.#waiting++;
      try {
        return await this.#turns.take('', () => this.#measured(from, order));
      } finally {
        this.#waiting--;
      }
    } catch (error) {
      const { code, message, hint } = failureOf(error);
      const text = hint === undefined ? message : `${message}; ${hint}`;
      return { v: 1, type: 'unmeasured', request, code, text: text.slice(0, 1000) };
    }
  }

  async #measured(from: string, order: MeasureOrder): Promise<ControlMessage> {
    if (order.type === 'probe') return this.#link(order);
    if (order.type !== 'time-codecs') return this.#stage(from, order);
    const { executor, now } = this.#options;
    return { v: 1, type: 'codecs-timed', request: order.request, ...(await measureCodecs(executor, now)) };
  }

  async #stage(from: string, order: StageOrder): Promise<ControlMessage> {
    const { executor, plans } = this.#options;
    const { plan, manifest, stage, request } = order;
    const before = executor.plans();
    const prepared = await plans.prepare(from, { v: 1, type: 'prepare', plan, manifest, stages: [stage] });
    if (prepared.type === 'refused')
      return { v: 1, type: 'unmeasured', request, code: prepared.code, text: prepared.text };
    try {
      return order.type === 'measure'
        ? await this.#measure(prepared.plan, order)
        : await this.#tune(prepared.plan, order);
    } finally {
      // Frames may use the same plan.
      if (!before.includes(prepared.plan)) plans.release(prepared.plan);
    }
  }

  async #measure(
    plan: string,
    { stage, warmup, repeats, budget_ms, request }: Extract<StageOrder, { type: 'measure' }>,
  ): Promise<ControlMessage> {
    const measured = await this.#options.executor.measure(plan, stage, { warmup, repeats, budgetMs: budget_ms });
    return { v: 1, type: 'measured', request, ms: [...measured.ms], others: measured.others };
  }

  async #tune(
    plan: string,
    { stage, manifest, repeats, budget_ms, request }: Extract<StageOrder, { type: 'tune' }>,
  ): Promise<ControlMessage> {
    const { executor, keepSettings } = this.#options;
    if (keepSettings === undefined) throw new TesseraError('TESSERA_RUN_FAILED', 'this node is not tuned');
    const { sha } = manifest.skeleton;
    const tuned = await executor.tune(plan, stage, sha, { warmup: TUNE_WARM_UP, repeats, budgetMs: budget_ms });
    if (tuned === undefined) throw new TesseraError('TESSERA_RUN_FAILED', 'the network does not run');
    keepSettings(sha, tuned.settings);
    return { v: 1, type: 'tuned', request, ...tuned };
  }

  async #link({ to, repeats, bytes, request }: Extract<MeasureOrder, { type: 'probe' }>): Promise<ControlMessage> {
    return { v: 1, type: 'probed', request, ...(await this.#options.echoes.measure(to, repeats, bytes)) };
  }
}
