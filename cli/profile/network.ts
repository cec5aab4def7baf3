import { rm } from 'node:fs/promises';
import { type LoadRequest, type ServedModel, withStoredWeights } from '../../central/served-model.ts';
import { loadAfterTrial } from '../../central/trial.ts';
import type { Log } from '../../shared/ports.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { makeTemporaryFolder } from '../../shared/runtime/folder.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { withTrials } from '../../shared/runtime/trial.ts';
import { machineDefaults } from '../machine.ts';

/** The model as a central elsewhere serves it, without its weights. Throws what `Central.load` throws. */
export async function loadAsCentral(request: LoadRequest, log: Log, signal: AbortSignal): Promise<ServedModel> {
  const folder = await makeTemporaryFolder('tessera-profile-');
  try {
    const store = await openBlobStore(folder);
    const key = await openSigningKey(folder);
    const { threads } = machineDefaults();
    return await withTrials({ signal }, async (trials) =>
      withStoredWeights(await loadAfterTrial(request, { store, key, threads, log, trials }), store),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
