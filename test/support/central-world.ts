import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ActiveCentralParts } from '../../central/active-central.ts';
import type { ActiveCentralOptions } from '../../central/central-options.ts';
import { Journal } from '../../central/journal/journal.ts';
import { NodeTopics } from '../../central/nodes/node-topics.ts';
import type { ServedModel, ServedPlan } from '../../central/served-model.ts';
import type { Executor } from '../../shared/node/executor-types.ts';
import type { CompiledPlan, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { BlobStore } from '../../shared/ports.ts';
import type { NodeInfo } from '../../shared/protocol/messages/node.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import type { Handler } from '../../shared/runtime/broker-connection.ts';
import { decode } from '../../shared/runtime/cbor.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { z } from '../../shared/schema.ts';
import { FakeDataPlane, someRegion } from './effect-world.ts';
import { examplesOf } from './examples.ts';
import { executorDouble } from './executor-double.ts';
import { MemoryBroker } from './memory-bus.ts';
import { type RecordingLog, recordingLog } from './recording-log.ts';

const SHA = '0'.repeat(64);
const JPEG = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0);

/** What tests read of control messages. */
const control = z.object({ type: z.string(), plan: z.unknown() });

/** A classifier that has names but no weights. */
export const fakeModel = {
  name: 'm',
  card: { tiles: [], task: 'classify', exits: [] },
  labels: ['cat'],
  picture: true,
  manifest: { name: 'm', skeleton: { sha: SHA }, blobs: [] },
  version: SHA,
  names: { pairs: [] },
  outputs: ['y'],
} as unknown as ServedModel;

/** A plan of `fakeModel` with its status. */
export function compiledPlan(plan: SchedulablePlan): CompiledPlan {
  const cost = { bytesOut: 0, bytesBack: 0, work: 1, input: 1, macsOnNodes: 0, convMacsOnNodes: 0 };
  return { ...plan, plan: { ...plan.plan, model: SHA }, approximate: false, cost } as unknown as CompiledPlan;
}

/** An executor that answers every part, at once or when it is released. */
export class FakeExecutor implements Executor {
  readonly calls: string[] = [];
  readonly #plans = executorDouble({
    prepare: async ({ id }) => void this.calls.push(`prepare ${id}`),
    release: async (plan) => void this.calls.push(`release ${plan}`),
  });
  #held: (() => void)[] | undefined;

  plans = this.#plans.plans;
  prepared = this.#plans.prepared;
  weights = this.#plans.weights;
  prepare = this.#plans.prepare;
  release = this.#plans.release;
  preparedPlan = this.#plans.preparedPlan;
  keep = this.#plans.keep;
  take = this.#plans.take;
  free = this.#plans.free;
  onLoss = this.#plans.onLoss;
  measure = this.#plans.measure;
  tune = this.#plans.tune;
  answers = async (): Promise<void> => {};
  cancel = (): void => {};
  stop = async (): Promise<void> => void this.calls.push('stop');

  run: Executor['run'] = async ({ tiles }, onPart) => {
    if (this.#held !== undefined) await new Promise<void>((resolve) => this.#held?.push(resolve));
    for (const { t_id } of tiles) onPart({ t_id, out: [someRegion], compute_ms: 1 });
  };

  /** Holds all parts from now on until `letGo`. */
  hold(): void {
    this.#held = [];
  }

  letGo(): void {
    for (const go of this.#held ?? []) go();
    this.#held = undefined;
  }
}

/** A central with test doubles and a broker in memory; only the journal is a real file. */
export class CentralWorld {
  readonly broker = new MemoryBroker();
  readonly topics = topics();
  readonly log: RecordingLog = recordingLog();
  readonly data = new FakeDataPlane();
  readonly executor = new FakeExecutor();
  readonly folder = mkdtempSync(join(tmpdir(), 'tessera-central-'));
  readonly journal = new Journal(join(this.folder, 'journal'), this.log);
  readonly models = new Map([['m', fakeModel]]);
  /** Whether the central is the active one. */
  holds = true;
  #onFrame: Handler | undefined;

  get options(): ActiveCentralOptions {
    return {
      bus: { url: 'mqtt://127.0.0.1:1' },
      base: 'tessera',
      cameras: {},
      acceptUnlistedCameras: true,
      coordinator: { settle_ms: 0 },
      log: this.log,
    };
  }

  parts(): ActiveCentralParts {
    const { log, data, executor, journal, models, broker } = this;
    const bus = broker.bus();
    const nodes = new NodeTopics({ bus, topics: this.topics, log });
    void nodes.start();
    return {
      bus,
      results: broker.bus(),
      wire: new Wire({ bus, topics: this.topics, self: CENTRAL, log, now: () => performance.now() }),
      executor,
      store: {} as BlobStore,
      nodes,
      data,
      journal,
      pictures: { draw: async ({ crops }) => ({ whole: undefined, crops: crops.map(() => undefined) }) },
      devices: { kept: {}, keep: () => {} },
      settings: { kept: {}, keep: () => {} },
      models,
      refused: new Map(),
      followers: [],
      window: undefined,
      epoch: 1,
      publicKey: 'ed25519:key',
      holds: () => this.holds,
      connect: async ({ subscriptions = [] }) => {
        const connection = broker.bus();
        this.#onFrame = subscriptions.find(({ filter }) => filter === this.topics.inputAll)?.handler;
        return connection;
      },
    };
  }

  served(plan: SchedulablePlan): ReadonlyMap<string, ServedPlan> {
    return new Map([['m', { compiled: compiledPlan(plan), model: fakeModel }]]);
  }

  /** Whether the connection for frames is open. */
  get isOpen(): boolean {
    return this.#onFrame !== undefined;
  }

  /** A camera publishes a picture; resolves when it is acknowledged. */
  async frame(id: string): Promise<void> {
    await this.#onFrame!({ topic: `tessera/input/front/${id}`, payload: JPEG, retained: false });
  }

  /** A node comes online; it answers nothing on its own. */
  async node(id: string, differs: Partial<NodeInfo> = {}): Promise<void> {
    const info = examplesOf('docs/protocol.md').find(({ schema }) => schema === 'info')!.value as object;
    await this.broker.publish(this.topics.nodeInfo(id), JSON.stringify({ ...info, ...differs, id }));
    await this.broker.publish(this.topics.nodeStatus(id), 'online');
  }

  /** Types of the control messages to a node, in order. */
  controls(node: string): string[] {
    return this.#controlsTo(node).map(({ type }) => type);
  }

  /** The plans that a node was asked to prepare, in order. */
  preparedPlans(node: string): unknown[] {
    return this.#controlsTo(node).flatMap(({ type, plan }) => (type === 'prepare' ? [plan] : []));
  }

  #controlsTo(node: string) {
    const topic = this.topics.wire(node, 'control', CENTRAL);
    const messages = this.broker.published.filter((one) => one.topic === topic);
    return messages.map(({ payload }) => decode(payload, control, 'control'));
  }

  /** Payloads published on a topic, in order. */
  published(topic: string): string[] {
    const messages = this.broker.published.filter((one) => one.topic === topic);
    return messages.map(({ payload }) => new TextDecoder().decode(payload));
  }

  /** Results of the camera, in order. */
  get results(): ResultObject[] {
    return this.published(this.topics.result('front', 'm')).map((text) => resultObject.parse(JSON.parse(text)));
  }

  /** Waits until everything that was started has ended. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  end(): void {
    this.journal.close();
    rmSync(this.folder, { recursive: true });
  }
}
