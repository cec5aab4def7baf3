import type { ServedModel } from '../central/served-model.ts';
import { TesseraError } from '../shared/errors.ts';
import { withInnerTensors } from '../shared/plan/inner-tensors.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { parsePlan } from '../shared/plan/validate.ts';
import { readJsonFile } from './json-file.ts';

/** Reads a plan from a JSON file, with the user's names of tensors. Throws TESSERA_PLAN_INVALID. */
export async function readPlanFile(file: string): Promise<Plan> {
  const hint = 'name a plan file (`tessera schema plan` describes one)';
  return parsePlan(await readJsonFile(file, 'TESSERA_PLAN_INVALID', hint));
}

/** Reads a plan for a model from a JSON file, with the tensor names of the served model. Throws TESSERA_PLAN_INVALID. */
export async function readPlanFor(model: ServedModel, file: string): Promise<Plan> {
  const { manifest, name } = model;
  const plan = await readPlanFile(file);
  if (plan.model !== manifest.skeleton.sha)
    throw new TesseraError('TESSERA_PLAN_INVALID', `${file} is a plan for another model than ${name}`, {
      hint: `its "model" is ${plan.model}, this one's is ${manifest.skeleton.sha}`,
    });
  return withInnerTensors(plan, model);
}
