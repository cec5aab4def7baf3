import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Failure, TesseraError } from '../shared/errors.ts';
import { createExecutor } from '../shared/node/executor.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { BlobStore, Bus } from '../shared/ports.ts';
import type { PlanStatus } from '../shared/protocol/messages/central.ts';
import { isNodeId, topics } from '../shared/protocol/topics.ts';
import { openBlobStore } from '../shared/runtime/blob-store.ts';
import { makeFolder } from '../shared/runtime/folder.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { openSigningKey, type SigningKey } from '../shared/runtime/signature.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { withTrials } from '../shared/runtime/trial.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import { Wire } from '../shared/runtime/wire.ts';
import { ActiveCentral, type ActiveCentralOptions } from './active-central.ts';
import { DataPlane } from './data-plane/data-plane.ts';
import type { ServedPlan } from './effects.ts';
import { Journal } from './journal/journal.ts';
import { type JournalLock, lockJournal } from './journal/lock.ts';
import { recoverFrames } from './journal/recovery.ts';
import { LeaderElection, lastWordsOf } from './leadership/leader-election.ts';
import type { PlanReadiness, ReadyOptions } from './observers/ready-waits.ts';
import { checkExits } from './planner/exits.ts';
import type { LoadRequest, ServedModel } from './served-model.ts';
import { loadAfterTrial } from './trial.ts';

export type { BrokerConnection } from './active-central.ts';

/** Options of `openCentral` and `startCentral`. */
export interface CentralOptions extends ActiveCentralOptions {
  /** Tells centrals of one base apart in topics; the host's name by default. */
  readonly id?: string | undefined;
  /** Where another central is active, wait for its end instead of throwing. */
  readonly standby?: boolean | undefined;
  /** This process has just started the broker: nobody else can be active there, and nothing is waited for. */
  readonly isFirst?: boolean | undefined;
  /** Told when this one begins to wait for another. */
  readonly onWait?: ((id: string) => void) | undefined;
  /** Folder for pieces of models (`blobs/`), the journal and the epoch. */
  readonly stateDir: string;
  /** The state directory ends with this process: nothing in it is kept through a loss of power. */
  readonly isTransient?: boolean | undefined;
  /** Threads of central's own executor. */
  readonly threads: number;
  readonly sessionMemoryMb: number;
  /** File of the key that models are signed with; absent: made in `stateDir` at the first start. */
  readonly signingKey?: string | undefined;
}

interface Parts {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly executor: Executor;
  readonly store: BlobStore;
  readonly key: SigningKey;
  readonly lock: JournalLock;
  readonly journal: Journal;
  readonly id: string;
  readonly boot: string;
  /** Resolves when the frames that an earlier run left open have been ended. */
  readonly recovery: Promise<void>;
}

/**
 * A central: makes models known, stands for election, and serves frames while it is the active one of its base.
 *
 *   open --lead--> candidate --elected--> active --another one takes over--> relieved;  any --stop--> stopped
 *
 * A central that was relieved is done: stop it, and open another one that waits.
 */
export class Central {
  /** Resolves with the reason once another central has taken over from this one. */
  readonly relieved: Promise<TesseraError>;
  readonly #options: CentralOptions;
  readonly #parts: Parts;
  readonly #data: DataPlane;
  readonly #election: LeaderElection;
  readonly #models = new Map<string, ServedModel>();
  readonly #refused = new Map<string, Failure>();
  /** Plans by model that were offered before this central leads. */
  readonly #offered = new Map<string, ServedPlan>();
  #active: ActiveCentral | undefined;
  readonly #ended = new AbortController();
  #stopping: Promise<void> | undefined;

  constructor(options: CentralOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    const { log, base, stateDir } = options;
    const { bus, id, boot } = parts;
    this.#data = new DataPlane((error) => {
      log.error(`the data plane ended and is started again: ${error.message}`);
      this.#active?.onDataPlaneEnd(error);
    });
    let relieve: (reason: TesseraError) => void = () => {};
    this.relieved = new Promise((resolve) => {
      relieve = resolve;
    });
    this.#election = new LeaderElection({
      bus,
      topics: topics(base),
      id,
      boot,
      standby: options.standby ?? false,
      isFirst: options.isFirst,
      floor: lastEpoch(stateDir) + 1,
      keepEpoch: (epoch) => keepEpoch(stateDir, epoch),
      onHolds: () => this.#active?.resume(),
      onStepDown: (by) => {
        void this.#active?.stop(0, true);
        relieve(
          new TesseraError('TESSERA_CENTRAL_ACTIVE', `central "${by.id}" has taken over`, {
            hint: 'start this one again with `tessera central --standby`',
          }),
        );
      },
      onWait: (by) => options.onWait?.(by.id),
      log,
    });
  }

  /** The public key that belongs to the signatures of models. */
  get publicKey(): string {
    return this.#parts.key.publicKey;
  }

  /**
   * Makes a model known that the runtime of this machine runs; frames are accepted for it once a plan is put to work
   * (`offerPlan`). Throws TESSERA_MODEL_UNSUPPORTED and what else is wrong with the model.
   */
  async load(request: LoadRequest): Promise<ServedModel> {
    const { store, key } = this.#parts;
    const { threads, log } = this.#options;
    const model = await withTrials({ signal: this.#ended.signal }, (trials) =>
      loadAfterTrial(request, { store, key, threads, log, trials }),
    );
    this.#models.set(model.name, model);
    this.#refused.delete(model.name);
    const { name, labels, input, picture, outputs } = model;
    const names = new Map(model.names.pairs);
    await this.#data.model({ name, card: request.card, labels, input, picture, outputs, names });
    return model;
  }

  /** Says of a model that it was to be served and cannot be; others are served all the same. */
  refuse(model: string, failure: Failure): void {
    this.#models.delete(model);
    this.#refused.set(model, failure);
    this.#active?.publishModels();
  }

  /**
   * Puts a plan to work for new frames of its model, now or as soon as this central is active. Throws
   * TESSERA_PLAN_INVALID for an exit that model.yaml does not have.
   */
  async offerPlan(name: string, compiled: CompiledPlan): Promise<void> {
    const model = this.#models.get(name)!;
    checkExits(compiled.plan, model);
    this.#offered.set(name, { compiled, model });
    await this.#handOver();
  }

  /**
   * Stands for election and begins to serve. Throws TESSERA_CENTRAL_ACTIVE where another central is active and waiting
   * was not asked for.
   */
  async lead(): Promise<void> {
    // Before results of this run take the place of those by which the broker shows what it has.
    await this.#parts.recovery;
    const epoch = await this.#election.start();
    const { bus, wire, executor, store, journal } = this.#parts;
    const active = new ActiveCentral(this.#options, {
      bus,
      wire,
      executor,
      store,
      data: this.#data,
      journal,
      connect: connectBus,
      models: this.#models,
      refused: this.#refused,
      epoch,
      publicKey: this.publicKey,
      holds: () => this.#election.holds,
    });
    this.#active = active;
    await active.start();
    await this.#handOver();
  }

  /** Gives the active central what it does not have yet. */
  async #handOver(): Promise<void> {
    if (this.#active === undefined || this.#offered.size === 0) return;
    const plans = new Map(this.#offered);
    this.#offered.clear();
    await this.#active.offerPlans(plans);
  }

  /**
   * Resolves when the plan serves new frames and so many node agents have answered for it, ready or not; when so many
   * refuse it; or at the time-out. Says who is ready then.
   */
  async whenReady(plan: Plan, nodes: number, options: ReadyOptions): Promise<PlanReadiness> {
    const nobody = { ready: [], preparing: [], refused: [], isServed: false };
    return this.#active?.whenReady(plan, nodes, options) ?? nobody;
  }

  /** What happens to nodes from here on is no news: whoever owns them is about to stop them. */
  expectEnd(): void {
    this.#active?.nodesStopping();
  }

  /** The active plan of a model, as published. */
  planStatus(model: string): PlanStatus | undefined {
    return this.#active?.planStatus(model);
  }

  /** Brings open frames to their end (within `graceMs`), publishes `offline`, frees everything. Idempotent. */
  stop(graceMs = 5000): Promise<void> {
    this.#ended.abort(new TesseraError('TESSERA_INTERNAL', 'central is stopping'));
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    const { bus, executor, journal, lock } = this.#parts;
    await this.#active?.stop(graceMs);
    // Last of what is said: whoever takes over now finds that every frame has ended.
    this.#election.stop();
    await Promise.allSettled([bus.stop(), executor.stop(), this.#data.stop()]);
    journal.close();
    lock.release();
  }
}

function lastEpoch(stateDir: string): number {
  try {
    const epoch = Number(readFileSync(join(stateDir, 'epoch'), 'utf8'));
    return Number.isSafeInteger(epoch) ? epoch : 0;
  } catch {
    return 0;
  }
}

function keepEpoch(stateDir: string, epoch: number): void {
  const file = join(stateDir, 'epoch');
  const kept = { what: "central's epoch", path: file, elsewhere: elsewhereOf(file) };
  writeWholeSync(kept, String(Math.max(epoch, lastEpoch(stateDir))));
}

/** A host's name as an id in topics. */
function defaultId(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63);
  return name === '' ? CENTRAL : name;
}

/**
 * Connects to the broker and starts central's threads: models can be loaded, `lead` begins to serve. Ends the frames
 * that an earlier run left open. Throws TESSERA_BROKER, TESSERA_CONFIG, TESSERA_STORAGE.
 */
export async function openCentral(options: CentralOptions): Promise<Central> {
  const { base, stateDir, threads, sessionMemoryMb, log } = options;
  const id = options.id ?? defaultId();
  if (!isNodeId(id))
    throw new TesseraError('TESSERA_CONFIG', `"${id}" cannot be a central's id`, {
      hint: 'an id has 1 to 63 lower-case letters, digits and dashes',
    });
  const boot = randomBytes(8).toString('hex');
  await makeFolder({ what: 'the state directory', path: stateDir, elsewhere: elsewhereOf(stateDir) });
  const key = await openSigningKey(stateDir, options.signingKey);
  const store = await openBlobStore(join(stateDir, 'blobs'), { isKept: options.isTransient !== true });
  const lock = await lockJournal(stateDir, options.bus.url, base);
  try {
    const journal = new Journal(lock.file, log, lock.isOurs);
    const names = topics(base);
    const will = { topic: names.centralStatus(id), payload: lastWordsOf(id, boot), qos: 1, retain: true } as const;
    const clientId = `${base}-central-${id}-${boot.slice(0, 8)}`;
    const bus = await connectBus({ ...options.bus, clientId, will, log });
    const executor = await createExecutor({ folder: store.folder, threads, sessionMemoryMb, patient: true, log });
    const wire = new Wire({ bus, topics: names, self: CENTRAL, log, now: () => performance.now() });
    const recovery = recoverFrames({ bus, topics: names, journal, log });
    return new Central(options, { bus, wire, executor, store, key, lock, journal, id, boot, recovery });
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A central that serves from the start; models are loaded afterwards. Throws what `openCentral` and `lead` throw. */
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
