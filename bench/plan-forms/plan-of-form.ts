import { join } from 'node:path';
import { type LoadRequest, loadServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Plan } from '../../shared/plan/plan.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { type FormName, Forms } from './forms.ts';

/**
 * A plan of a form for a model as central would load it; `folder` gets its pieces. Throws TESSERA_USAGE where the network
 * has no place for the form.
 */
export async function planOfForm(
  request: LoadRequest,
  form: FormName,
  nodes: readonly string[],
  folder: string,
): Promise<Plan> {
  const store = await openBlobStore(join(folder, 'forms'));
  const { resolved, manifest } = await loadServedModel(request, store, await openSigningKey(folder));
  const plan = new Forms(resolved, manifest.skeleton.sha, nodes).all().find(({ name }) => name === form)?.plan;
  if (plan === undefined)
    throw new TesseraError('TESSERA_USAGE', `model ${request.name} has no plan of the form "${form}"`);
  return plan;
}
