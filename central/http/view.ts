import type { Failure } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus } from '../../shared/ports.ts';
import { type BrokerStats, brokerStats } from '../../shared/protocol/messages/broker.ts';
import type { NodeRecord, NodeRegistry } from '../../shared/protocol/node-registry.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { packageVersion } from '../../shared/runtime/version.ts';
import type { Wire } from '../../shared/runtime/wire.ts';
import type { MeasuredNode } from '../coordinator/measured.ts';
import type { Snapshot } from '../coordinator/snapshot.ts';
import type { Journal } from '../journal/journal.ts';
import type { FrameTotals } from '../observers/frame-totals.ts';
import type { SettingTopics } from '../observers/setting-topics.ts';
import { ALL_MODELS, NUMBERS } from '../settings/camera-settings.ts';
import type { ApiHealth, ApiSettingChange, ApiSettings, ApiState, CentralPhase } from './api.ts';
import { judgeHealth } from './health.ts';
import type { MetricSources } from './metric-families.ts';
import { Published } from './published.ts';
import { nodeState } from './state.ts';

/** What is shown of a central, whatever it does. */
export interface WatchedCentral {
  readonly id: string;
  readonly phase: () => CentralPhase;
  readonly nodes: Pick<NodeRegistry, 'nodes'>;
  readonly bus: Pick<Bus, 'connected' | 'counters' | 'subscribe'>;
  readonly wire: Pick<Wire, 'counters'>;
  readonly journal: Pick<Journal, 'whenWritten'>;
  readonly models: ReadonlyMap<string, unknown>;
  readonly refused: ReadonlyMap<string, Failure>;
}

/** What an active central has beside. */
export interface WatchedWork {
  readonly frames: Pick<FrameTotals, 'cameras'>;
  readonly snapshot: () => Snapshot;
  readonly measuredAt: (plan: string) => ReadonlyMap<string, MeasuredNode>;
  readonly settings: Pick<SettingTopics, 'set'>;
}

/** Central's own executor, a node that publishes nothing about itself. */
const OWN: NodeRecord = { id: CENTRAL, online: true, info: undefined, heartbeat: undefined, heardAt: undefined };

/** What people see of one central; it follows and changes nothing. */
export class View {
  readonly #central: WatchedCentral;
  readonly #published: Published;
  readonly #base: string;
  readonly #began = performance.now();
  readonly #version = packageVersion();
  #work: WatchedWork | undefined;
  #broker: BrokerStats | null = null;

  constructor(central: WatchedCentral, base: string) {
    this.#central = central;
    this.#base = base;
    this.#published = new Published(base);
    central.bus
      .subscribe(topics(base).brokerStats, 0, ({ payload }) => {
        const said = brokerStats.safeParse(jsonOf(payload));
        if (said.success) this.#broker = said.data;
      })
      .catch(() => {});
  }

  /** The central is the active one. */
  begin(work: WatchedWork): void {
    this.#work = work;
  }

  /** Takes in a state that central publishes. */
  note(topic: string, payload: string): void {
    this.#published.note(topic, payload);
  }

  /** Whether central works. */
  health(): ApiHealth {
    const { phase, bus, refused, models, journal } = this.#central;
    return judgeHealth({
      phase: phase(),
      brokerConnected: bus.connected,
      refused,
      served: models.size,
      isJournalWritten: journal.whenWritten() === undefined,
    });
  }

  state(): ApiState {
    const { id, phase, nodes, bus } = this.#central;
    const seen = this.#work?.snapshot().nodes ?? {};
    const measured = this.#work?.measuredAt('');
    const now = performance.now();
    return {
      v: 1,
      time: Date.now() / 1000,
      central: {
        id,
        phase: phase(),
        version: this.#version,
        base: this.#base,
        broker_connected: bus.connected,
        uptime_s: this.#uptimeS,
      },
      cameras: Object.fromEntries(this.#published.cameras),
      nodes: Object.fromEntries(
        [OWN, ...nodes.nodes.values()].map((record) => [
          record.id,
          nodeState({ record, seen: seen[record.id], measured: measured?.get(record.id) }, now),
        ]),
      ),
      broker: this.#broker,
      ...this.#published.states,
    };
  }

  /** What can be changed. */
  settings(): ApiSettings {
    const { settings, states } = this.#published;
    const models = Object.entries(states.models).filter(([, { state }]) => state === 'served');
    return { v: 1, cameras: settings, numbers: NUMBERS, models: [ALL_MODELS, ...models.map(([name]) => name)] };
  }

  /** Changes a setting; the answer says why it was not changed. */
  change({ camera, setting, value }: ApiSettingChange): string | undefined {
    if (this.#work === undefined) return 'central is not active';
    return this.#work.settings.set(camera, setting, value)?.message;
  }

  /** What metrics are made of. */
  sources(): MetricSources {
    const { phase, nodes, bus, wire } = this.#central;
    const work = this.#work;
    return {
      version: this.#version,
      phase: phase(),
      uptimeS: this.#uptimeS,
      brokerConnected: bus.connected,
      nodes: nodes.nodes,
      bus: bus.counters,
      wire: wire.counters,
      broker: this.#broker,
      states: this.#published.states,
      active: work === undefined ? undefined : { snapshot: work.snapshot(), cameras: work.frames.cameras },
    };
  }

  get #uptimeS(): number {
    return Math.round((performance.now() - this.#began) / 1000);
  }
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString());
  } catch {
    return undefined;
  }
}
