import { join } from 'node:path';
import type { LoadRequest } from '../central/served-model.ts';
import { loadAfterTrial } from '../central/trial.ts';
import type { Config } from '../shared/config/schema.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { openSigningKey } from '../shared/runtime/signature.ts';
import type { Trials } from '../shared/runtime/trial.ts';
import { machineDefaults } from './machine.ts';
import { loadRequestFor } from './models.ts';

/**
 * Runs a model of a folder once, as central would before it serves it. Returns why it could not be tried, where that is
 * nothing against it: its file leaves the input's shape open. Throws what is wrong with it. `scratch` is a folder for
 * its pieces.
 */
export async function tryModelFolder(
  folder: string,
  scratch: string,
  { config, log, trials }: { readonly config: Config; readonly log: Log; readonly trials: Trials },
): Promise<string | undefined> {
  const store = await openBlobStore(join(scratch, 'trial'));
  const key = await openSigningKey(scratch);
  const { threads } = machineDefaults();
  const run = (request: LoadRequest) => loadAfterTrial(request, { store, key, threads, log, trials });
  const { request } = await loadRequestFor(folder, config);
  const isOpen = request.card.input.shape === undefined;
  try {
    try {
      await run(request);
    } catch (error) {
      // A network whose input is no picture may still run on tensors.
      if (request.card.task !== 'raw' || !(error instanceof TesseraError) || error.code !== 'TESSERA_SHAPE')
        throw error;
      await run({ ...request, picture: false });
    }
    return undefined;
  } catch (error) {
    if (isOpen && error instanceof TesseraError && error.code === 'TESSERA_SHAPE') return error.message;
    throw error;
  }
}
