import { Worker } from 'node:worker_threads';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { WorkerCalls } from '../shared/runtime/worker-call.ts';
import { workerEntry } from '../shared/runtime/worker-entry.ts';
import type { Adjustable } from './planner/adjusted.ts';
import type { PlanRequest } from './planner/default-plan.ts';
import type { PlanningGraph } from './planner/graph.ts';
import type { MeasuredFleet, Reconsidered } from './planner/reconsider.ts';
import type { ServedModel } from './served-model.ts';

/** Plans for served models. It may take seconds, in which the thread that renews central's lease must not wait. */
export interface Planning {
  /** Throws what `choosePlan` throws. */
  choose(model: ServedModel, request: PlanRequest): Promise<CompiledPlan>;
  /** The model's network as strategies see it. */
  graphOf(model: ServedModel): Promise<PlanningGraph>;
  /** Throws what `compileFor` throws. */
  compile(model: ServedModel, plan: Plan): Promise<CompiledPlan>;
  /** `adjustable`: only what D3's local adjustment makes of the plan in use. Throws what `reconsider` throws. */
  reconsider(
    model: ServedModel,
    request: PlanRequest,
    fleet: MeasuredFleet,
    active: Plan,
    adjustable?: Adjustable,
  ): Promise<Reconsidered>;
}

/** A served model as a thread gets it: plain data. */
export interface ModelToPlan extends Omit<ServedModel, 'names' | 'doubt'> {
  /** Names of tensors in plans, by those in the user's file. */
  readonly inner: ReadonlyMap<string, string>;
}

async function callThread<T>(method: string, model: ServedModel, args: object): Promise<T> {
  const { doubt: _, names, ...plain } = model;
  const inner = new Map(names.pairs.map(([short, original]) => [original, short]));
  const toPlan: ModelToPlan = { ...plain, inner };
  const calls = new WorkerCalls(new Worker(workerEntry(import.meta.url, './planning-worker.ts')));
  try {
    return await calls.call<T>(method, { model: toPlan, ...args });
  } finally {
    await calls.end();
  }
}

/** Plans in a thread, which ends with the answer. */
export const planInThread: Planning = {
  choose: (model, request) => callThread('choose', model, { request }),
  graphOf: (model) => callThread('graphOf', model, {}),
  compile: (model, plan) => callThread('compile', model, { plan }),
  reconsider: (model, request, fleet, active, adjustable) =>
    callThread('reconsider', model, { request, fleet, active, adjustable }),
};
