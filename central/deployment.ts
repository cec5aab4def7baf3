import { TesseraError } from '../shared/errors.ts';
import { compilePlan } from '../shared/plan/compile.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { withInnerTensors } from '../shared/plan/inner-tensors.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { planId } from '../shared/plan/plan-id.ts';
import { checkPlan, parsePlan } from '../shared/plan/validate.ts';
import type { Deploy, Deployed } from '../shared/protocol/messages/requests.ts';
import type { DeployedPlan, DeployedPlans } from './deployed-plans.ts';
import type { PlanReadiness } from './observers/ready-waits.ts';
import { checkPlanExits } from './planner/exits.ts';
import type { ServedModel } from './served-model.ts';

/** What `deploy` needs of central. */
export interface DeployOptions {
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly deployed: DeployedPlans;
  /** The planner's plan for a model. */
  readonly choose: (model: string) => Promise<CompiledPlan>;
  readonly compile: (model: ServedModel, plan: Plan) => Promise<CompiledPlan>;
  /** Offers a plan to the nodes; calls `keep` first, once nothing is missing any more that the plan needs. */
  readonly offer: (model: string, compiled: CompiledPlan, keep: () => void) => Promise<void>;
  /** Resolves when the plan serves new frames, or after some time. */
  readonly whenServed: (plan: Plan) => Promise<PlanReadiness>;
}

/** Compiles a plan for a served model. Throws TESSERA_PLAN_INVALID. */
export function compileFor(model: ServedModel, plan: Plan): CompiledPlan {
  if (plan.model !== model.manifest.skeleton.sha)
    throw new TesseraError('TESSERA_PLAN_INVALID', `plan ${plan.id} is for another network than model ${model.name}`, {
      hint: `its \`model\` must be ${model.manifest.skeleton.sha}`,
    });
  checkPlan(plan, { inputs: [model.input.name], outputs: model.outputs });
  checkPlanExits(plan, model);
  return compilePlan(plan, model.resolved);
}

/** The served model that a request is about. Throws TESSERA_MODEL_UNKNOWN, TESSERA_USAGE. */
export function modelOf(
  models: ReadonlyMap<string, ServedModel>,
  asked: string | undefined,
  sha?: string,
): ServedModel {
  const served = [...models.values()];
  const fitting = served.filter(
    ({ name, manifest }) => (asked ?? name) === name && (sha ?? manifest.skeleton.sha) === manifest.skeleton.sha,
  );
  if (fitting.length === 1) return fitting[0]!;
  const names = served.map(({ name, manifest }) => `${name} (${manifest.skeleton.sha})`).join(', ');
  throw new TesseraError(
    fitting.length === 0 ? 'TESSERA_MODEL_UNKNOWN' : 'TESSERA_USAGE',
    fitting.length === 0
      ? `central serves no model ${asked ?? `with the network ${sha} of the plan`}`
      : `${fitting.length} models fit`,
    { hint: fitting.length === 0 ? `it serves ${names || 'none'}` : `name one with --model: ${names}` },
  );
}

/** Puts plans to work. They are offered one at a time, so that each one's `previous` is the one before it. */
export class Deployments {
  readonly #options: DeployOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DeployOptions) {
    this.#options = options;
  }

  /**
   * Puts a plan to work for its model, or the one before it, and keeps it for later runs of central; open frames keep
   * their plans. Resolves once the plan serves new frames. Throws TESSERA_PLAN_INVALID, TESSERA_MODEL_UNKNOWN,
   * TESSERA_USAGE, TESSERA_STORAGE, and TESSERA_NO_NODES where the plan does not serve new frames in time; it does later,
   * once its nodes are ready.
   */
  async deploy(request: Deploy): Promise<Deployed> {
    const offering = this.#last.then(() => offer(this.#options, request));
    this.#last = offering.catch(() => {});
    const { model, plan } = await offering;
    const { isServed, ready, preparing, refused } = await this.#options.whenServed(plan);
    if (!isServed)
      throw new TesseraError(
        'TESSERA_NO_NODES',
        `plan ${plan.id} does not serve new frames yet; nodes that prepare it: ${preparing.join(', ') || 'none'}`,
        {
          hint: 'it takes over once its nodes are ready (see `tessera nodes`); `tessera deploy --previous` takes it back',
        },
      );
    return { model, plan: plan.id, reason: plan.reason, ready: [...ready], refused: [...refused] };
  }
}

/** Offers the plan of a request, and keeps it. */
async function offer(
  options: DeployOptions,
  request: Deploy,
): Promise<{ readonly model: string; readonly plan: Plan }> {
  const { models, deployed, choose, compile } = options;
  const asked = request.plan === undefined ? undefined : parsePlan(request.plan);
  const model = modelOf(models, request.model, asked?.model);
  const before = deployed.of(model.name);
  let next: DeployedPlan;
  let compiled: CompiledPlan;
  if (asked !== undefined) {
    const plan = withInnerTensors(asked, model);
    // A file that was edited may still have the id of the plan that it was.
    compiled = await compile(model, { ...plan, id: planId(plan) });
    const isSame = before?.current?.id === compiled.plan.id;
    next = isSame ? before : { current: compiled.plan, previous: before?.current ?? null };
  } else {
    if (before === undefined)
      throw new TesseraError('TESSERA_USAGE', `no plan was deployed for model ${model.name}, so none comes before`, {
        hint: 'deploy a plan file first',
      });
    next = { current: before.previous, previous: before.current };
    compiled = next.current === null ? await choose(model.name) : await compile(model, next.current);
  }
  await options.offer(model.name, compiled, () => deployed.keep(model.name, next));
  return { model: model.name, plan: compiled.plan };
}
