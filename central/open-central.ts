import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { createExecutor } from '../shared/node/executor.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import { isNodeId, topics } from '../shared/protocol/topics.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { makeFolder } from '../shared/runtime/folder.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { openSigningKey } from '../shared/runtime/signature.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { withTrials } from '../shared/runtime/trial.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { Central } from './central.ts';
import type { CentralOptions } from './central-options.ts';
import { DataPlane } from './data-plane/data-plane.ts';
import { keptDevices } from './home-assistant/devices.ts';
import { Window } from './http/window.ts';
import { Journal } from './journal/journal.ts';
import { lockJournal } from './journal/lock.ts';
import { recoverFrames } from './journal/recovery.ts';
import { KeptJson } from './kept-json.ts';
import { EpochFile } from './leadership/epoch-file.ts';
import { lastWordsOf } from './leadership/leader-election.ts';
import { Pictures } from './pictures/pictures.ts';
import { planInThread } from './planning.ts';
import { Profiles } from './profiles.ts';
import { withCutWeights, withStoredWeights } from './served-model.ts';
import { keptSettings } from './settings/camera-settings.ts';
import { loadAfterTrial } from './trial.ts';

/** A host name as an id in topics. */
function defaultId(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63);
  return name === '' ? CENTRAL : name;
}

/**
 * Connects to the broker, starts central's threads, and ends the frames that an earlier run left open. Then models can
 * be loaded; `lead` begins to serve. Throws TESSERA_BROKER, TESSERA_CONFIG, TESSERA_STORAGE.
 */
export async function openCentral(asked: CentralOptions): Promise<Central> {
  const { http, bus: broker, base } = asked;
  const window = http === undefined ? undefined : await Window.open(http, broker, base);
  try {
    return await openShown({ ...asked, log: window?.log(asked.log) ?? asked.log }, window);
  } catch (error) {
    await window?.stop();
    throw error;
  }
}

async function openShown(options: CentralOptions, window: Window | undefined): Promise<Central> {
  const { base, stateDir, threads, sessionMemoryMb, log } = options;
  const id = options.id ?? defaultId();
  if (!isNodeId(id))
    throw new TesseraError('TESSERA_CONFIG', `"${id}" cannot be a central's id`, {
      hint: 'an id has 1 to 63 lower-case letters, digits and dashes',
    });
  const boot = randomBytes(8).toString('hex');
  await makeFolder({ what: 'the state directory', path: stateDir, elsewhere: elsewhereOf(stateDir) });
  const key = await openSigningKey(stateDir, options.signingKey);
  const store = await openBlobStore(join(stateDir, 'blobs'), { isKept: options.isTransient !== true, isOwner: true });
  const lock = await lockJournal(stateDir, options.bus.url, base);
  try {
    const journal = new Journal(lock.file, log, lock.isOurs);
    const names = topics(base);
    const will = { topic: names.centralStatus(id), payload: lastWordsOf(id, boot), qos: 1, retain: true } as const;
    const clientId = `${base}-central-${id}-${boot.slice(0, 8)}`;
    const bus = await connectBus({ ...options.bus, clientId, will, log });
    const results = await connectBus({ ...options.bus, clientId: `${clientId}-results`, log });
    const executor = await createExecutor({
      node: CENTRAL,
      folder: store.folder,
      threads,
      sessionMemoryMb,
      patient: true,
      log,
    });
    options.watch?.(() => executor.answers());
    const wire = new Wire({ bus, topics: names, self: CENTRAL, log, now: () => performance.now() });
    const devices = new KeptJson(stateDir, 'homeassistant.json', 'the list of devices in Home Assistant', keptDevices);
    const kept = new KeptJson(stateDir, 'camera-settings.json', 'the settings of cameras', keptSettings);
    const recovery = recoverFrames({ bus: results, topics: names, journal, log });
    return new Central(options, {
      bus,
      results,
      wire,
      executor,
      pictures: new Pictures(),
      devices: {
        kept: devices.read({}, (reason) => log.warn(reason)),
        keep: (all) => devices.write(all),
      },
      settings: {
        kept: kept.read({}, (reason) => log.warn(reason)),
        keep: (all) => kept.write(all),
      },
      store,
      connect: connectBus,
      publicKey: key.publicKey,
      startDataPlane: (onEnd, plans) => new DataPlane(onEnd, plans),
      load: (request, signal) =>
        withTrials({ signal }, async (trials) =>
          withStoredWeights(await loadAfterTrial(request, { store, key, threads, log, trials }), store),
        ),
      cutWeights: (model, compiled) => withCutWeights(model, compiled, store, key),
      planning: planInThread,
      window,
      profiles: await Profiles.read(join(stateDir, 'profiles'), log),
      lock,
      journal,
      epochs: new EpochFile(stateDir),
      id,
      boot,
      recovery,
    });
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Starts a central that serves at once; models are loaded afterwards. Throws what `openCentral` and `lead` throw. */
export async function startCentral(options: CentralOptions): Promise<Central> {
  const central = await openCentral(options);
  try {
    await central.lead();
  } catch (error) {
    await central.stop();
    throw error;
  }
  return central;
}
