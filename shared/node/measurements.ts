import { failureOf, TesseraError } from '../errors.ts';
import type { ControlMessage } from '../protocol/messages/control.ts';
import type { Echoes } from './echoes.ts';
import type { Executor } from './executor-types.ts';
import type { Plans } from './plans.ts';

/** What measuring at a node needs. */
export interface MeasurementsOptions {
  readonly executor: Pick<Executor, 'plans' | 'measure'>;
  readonly plans: Pick<Plans, 'prepare' | 'release'>;
  readonly echoes: Pick<Echoes, 'measure'>;
}

/** An order to measure something. */
export type MeasureOrder = Extract<ControlMessage, { type: 'measure' | 'probe' }>;

/** Measures at a node what central asks for: the time of a stage, or a link. One at a time: two would measure each other. */
export class Measurements {
  readonly #options: MeasurementsOptions;
  #isBusy = false;

  constructor(options: MeasurementsOptions) {
    this.#options = options;
  }

  /** Carries an order out; resolves to its answer. Never throws. */
  async carryOut(from: string, order: MeasureOrder): Promise<ControlMessage> {
    const { request } = order;
    try {
      if (this.#isBusy) throw new TesseraError('TESSERA_RUN_FAILED', 'another measurement runs here');
      this.#isBusy = true;
      try {
        return order.type === 'measure' ? await this.#stage(from, order) : await this.#link(order);
      } finally {
        this.#isBusy = false;
      }
    } catch (error) {
      const { code, message, hint } = failureOf(error);
      const text = hint === undefined ? message : `${message}; ${hint}`;
      return { v: 1, type: 'unmeasured', request, code, text: text.slice(0, 1000) };
    }
  }

  async #stage(from: string, order: Extract<MeasureOrder, { type: 'measure' }>): Promise<ControlMessage> {
    const { executor, plans } = this.#options;
    const { plan, manifest, stage, warmup, repeats, budget_ms, request } = order;
    const before = executor.plans();
    const prepared = await plans.prepare(from, { v: 1, type: 'prepare', plan, manifest, stages: [stage] });
    if (prepared.type === 'refused')
      return { v: 1, type: 'unmeasured', request, code: prepared.code, text: prepared.text };
    try {
      const { ms, others } = await executor.measure(prepared.plan, stage, { warmup, repeats, budgetMs: budget_ms });
      return { v: 1, type: 'measured', request, ms: [...ms], others };
    } finally {
      // Frames may use the same plan.
      if (!before.includes(prepared.plan)) plans.release(prepared.plan);
    }
  }

  async #link({ to, repeats, request }: Extract<MeasureOrder, { type: 'probe' }>): Promise<ControlMessage> {
    return { v: 1, type: 'probed', request, ...(await this.#options.echoes.measure(to, repeats)) };
  }
}
