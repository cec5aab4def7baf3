import { parentPort } from 'node:worker_threads';
import { TensorNames } from '../shared/onnx/tensor-names.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { answerCalls } from '../shared/runtime/worker-call.ts';
import { compileFor } from './deployment.ts';
import { type Adjustable, adjustmentOf } from './planner/adjusted.ts';
import { choosePlan, type PlanRequest } from './planner/default-plan.ts';
import { type PlanningGraph, planningGraph } from './planner/graph.ts';
import { type MeasuredFleet, type Reconsidered, reconsider } from './planner/reconsider.ts';
import type { ModelToPlan } from './planning.ts';
import type { ServedModel } from './served-model.ts';

/** The thread that plans. */

function modelOf({ inner, ...plain }: ModelToPlan): ServedModel {
  return { ...plain, names: new TensorNames(inner), doubt: undefined };
}

interface Reconsideration {
  readonly model: ModelToPlan;
  readonly request: PlanRequest;
  readonly fleet: MeasuredFleet;
  readonly active: Plan;
  readonly adjustable?: Adjustable;
}

answerCalls(parentPort!, {
  choose: ({ model, request }: { model: ModelToPlan; request: PlanRequest }): CompiledPlan =>
    choosePlan(modelOf(model), request),
  graphOf: ({ model }: { model: ModelToPlan }): PlanningGraph => planningGraph(model.resolved),
  compile: ({ model, plan }: { model: ModelToPlan; plan: Plan }): CompiledPlan => compileFor(modelOf(model), plan),
  reconsider: ({ model, request, fleet, active, adjustable }: Reconsideration): Reconsidered =>
    reconsider(modelOf(model), request, fleet, active, adjustable && [adjustmentOf(adjustable)]),
});
