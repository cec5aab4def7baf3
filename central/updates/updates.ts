import { TesseraError } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Log, Message } from '../../shared/ports.ts';
import {
  type UpdateAnswer,
  type UpdateManifest,
  type UpdateReport,
  type UpdateRequest,
  updateManifest,
  updateReport,
  updateRequest,
  type VersionState,
} from '../../shared/protocol/messages/update.ts';
import { MAX_STATE_BYTES, type NodeRecord } from '../../shared/protocol/node-registry.ts';
import { parseNodeTopic, type Topics } from '../../shared/protocol/topics.ts';
import { answerRequests, handler } from '../../shared/runtime/requests.ts';
import type { z } from '../../shared/schema.ts';
import type { Publisher } from '../publish/publisher.ts';
import { rolloutStep } from './rollout.ts';
import { versionStateOf } from './version-state.ts';

/** What `Updates` needs. */
export interface UpdatesOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly publisher: Pick<Publisher, 'retain'>;
  readonly nodes: () => ReadonlyMap<string, NodeRecord>;
  /** Nodes that load networks which they are to run. */
  readonly loading: () => ReadonlySet<string>;
  /** Nodes whose turn it is: they are to get no new work. */
  readonly drain: (nodes: readonly string[]) => void;
  /** Of this program. */
  readonly version: string;
  readonly log: Log;
  /** Unix seconds. */
  readonly time: () => number;
}

/** Most nodes whose reports are kept. */
const MAX_NODES = 1024;
const LOOK_MS = 1000;

/**
 * Has nodes updated: announces what is wanted on `<base>/update`, and says there whose turn it is (rollout.ts).
 *
 * 1. The announcement is all of its state: the next central reads it from the broker.
 * 2. A node gets no new work while it is its turn.
 */
export class Updates {
  readonly #options: UpdatesOptions;
  readonly #reports = new Map<string, UpdateReport>();
  #manifest: UpdateManifest | undefined;
  /** What was published of versions, by topic. */
  readonly #versions = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UpdatesOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus, topics, log } = this.#options;
    await bus.subscribe(topics.update, 1, ({ payload, retained }) => {
      if (retained) this.#manifest ??= read(updateManifest, payload);
    });
    await bus.subscribe(topics.nodeUpdateAll, 1, (message) => this.#onReport(message));
    await answerRequests(bus, topics, { update: handler(updateRequest, (asked) => this.#answer(asked)) }, log);
    this.#timer = setInterval(() => {
      this.#look();
      this.#publishVersions();
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #onReport({ topic, payload }: Message): void {
    const node = parseNodeTopic(this.#options.topics.base, topic)?.node;
    const report = read(updateReport, payload);
    if (node === undefined) return;
    if (report === undefined) this.#reports.delete(node);
    else if (this.#reports.has(node) || this.#reports.size < MAX_NODES) this.#reports.set(node, report);
    this.#look();
  }

  async #answer({ want, paused }: UpdateRequest): Promise<UpdateAnswer> {
    const { log, time } = this.#options;
    if (want === undefined && this.#manifest === undefined)
      throw new TesseraError('TESSERA_USAGE', 'no update is announced', {
        hint: '`tessera update VERSION --from URL`',
      });
    if (want !== undefined) {
      this.#manifest = { v: 1, ...want, since: time(), prepare: [], turn: [] };
      log.info(`update: ${want.action === 'install' ? 'to' : 'back from'} version ${want.version}`);
    }
    if (paused !== undefined) {
      const { reason: _, ...before } = this.#manifest!;
      this.#manifest = paused
        ? { ...before, paused, reason: 'somebody paused it' }
        : // What failed before does not halt it again.
          { ...before, paused, since: time() };
    }
    this.#publish();
    this.#look();
    return { update: this.#manifest! };
  }

  #look(): void {
    const manifest = this.#manifest;
    if (manifest === undefined) return;
    const { nodes, drain, log } = this.#options;
    const loading = this.#options.loading();
    const known = [...nodes().values()].map(({ id, online }) => ({
      id,
      online,
      isBack: !loading.has(id),
      report: this.#reports.get(id),
    }));
    const { prepare, turn, halt } = rolloutStep(manifest, known);
    const isHalted = halt !== undefined && !manifest.paused;
    if (isHalted) log.error(`the update to version ${manifest.version} is paused: ${halt}`);
    drain(turn);
    const next = { ...manifest, ...(isHalted ? { paused: true, reason: halt } : {}), prepare, turn };
    if (JSON.stringify(next) === JSON.stringify(manifest)) return;
    this.#manifest = next as UpdateManifest;
    this.#publish();
  }

  #publishVersions(): void {
    const { nodes, topics, publisher, version } = this.#options;
    const manifest = this.#manifest;
    const states: [topic: string, state: VersionState][] = [
      [topics.centralVersion(CENTRAL), versionStateOf(CENTRAL, version, undefined, undefined)],
    ];
    for (const { id, info } of nodes().values())
      if (info !== undefined)
        states.push([topics.nodeVersion(id), versionStateOf(id, info.version, this.#reports.get(id), manifest)]);
    for (const [topic, state] of states) {
      const text = JSON.stringify(state);
      if (this.#versions.get(topic) === text) continue;
      this.#versions.set(topic, text);
      publisher.retain(topic, text);
    }
  }

  #publish(): void {
    this.#options.publisher.retain(this.#options.topics.update, JSON.stringify(this.#manifest));
  }
}

function read<T>(schema: z.ZodType<T>, payload: Uint8Array): T | undefined {
  if (payload.byteLength > MAX_STATE_BYTES) return undefined;
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(payload)));
  } catch {
    return undefined;
  }
}
