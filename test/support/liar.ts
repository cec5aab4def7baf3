import { codecNames, findCodec } from '../../shared/codec/codecs.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { controlMessage } from '../../shared/protocol/messages/control.ts';
import type { NodeInfo } from '../../shared/protocol/messages/node.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import { type ResultMessage, type WorkMessage, workMessage } from '../../shared/protocol/messages/work.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { Wire } from '../../shared/runtime/wire.ts';

type Tiles = ResultMessage['tiles'];
type Answer = (work: WorkMessage) => Promise<void> | void;

/**
 * A node that announces that it is ready for every plan and answers work with `answer`, which can be changed at any
 * time.
 */
export class Liar {
  answer: Answer = () => {};
  /** The work messages that it received. */
  asked = 0;
  readonly #id: string;
  readonly #bus: Bus;
  readonly #topics: Topics;
  readonly #wire: Wire;
  #timer: NodeJS.Timeout | undefined;

  constructor(bus: Bus, topics: Topics, id: string) {
    this.#id = id;
    this.#bus = bus;
    this.#topics = topics;
    this.#wire = new Wire({ bus, topics, self: id, log: silentLog, now: () => performance.now() });
  }

  async start(): Promise<void> {
    const bootId = 'boot-of-a-liar';
    this.#wire.on('control', controlMessage, (from, message) => {
      if (message.type !== 'prepare') return;
      const plan = (message.plan as { id: string }).id;
      void this.#wire.send(from, 'control', { v: 1, type: 'ready', plan, boot_id: bootId });
    });
    this.#wire.on('work', workMessage, (_from, message) => {
      this.asked++;
      void this.answer(message);
    });
    await this.#wire.start();
    const info: NodeInfo = {
      v: 1,
      id: this.#id,
      session: 's',
      boot_id: bootId,
      version: '0',
      wire: [1, 1],
      tier: 'edge',
      hardware: 'none',
      arch: 'none',
      os: 'none',
      cores: 1,
      memory_mb: 1000,
      runtime: 'none',
      codecs: codecNames(),
      splits: ['whole', 'tiles'],
      features: [],
      max_message: 262144,
      session_memory_mb: 100,
      models: [],
    };
    await this.#bus.publish(this.#topics.nodeInfo(this.#id), JSON.stringify(info), { qos: 1, retain: true });
    await this.#bus.publish(this.#topics.nodeStatus(this.#id), 'online', { qos: 1, retain: true });
    const beat = {
      v: 1,
      cpu_percent: 0,
      load_average: [0, 0, 0],
      memory_percent: 0,
      memory_used_mb: 0,
      temp_c: null,
      throttled: '0x0',
      queue: 0,
      tiles_per_s: 0,
      loop_delay_ms: 0,
      uptime_sec: 0,
    };
    this.#timer = setInterval(() => {
      void this.#bus.publish(this.#topics.heartbeat(this.#id), JSON.stringify(beat));
    }, 1000);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#bus.publish(this.#topics.nodeStatus(this.#id), 'offline', { qos: 1, retain: true });
  }

  /** Answers work with these tiles; `change` alters the envelope. */
  async send(work: WorkMessage, tiles: Tiles, change: Partial<ResultMessage> = {}): Promise<void> {
    const { plan, i_id, stage, attempt } = work;
    const result = { v: 1, plan, i_id, stage, attempt, n_id: this.#id, queue_ms: 0, tiles, ...change };
    await this.#wire.send('central', 'result', result);
  }

  /** Bytes that are no message at all. */
  async garbage(): Promise<void> {
    await this.#bus.publish(this.#topics.wire('central', 'result', this.#id), Uint8Array.of(0xa1, 0xff, 0x00));
  }
}

/** Outputs of the right form and encoding, filled with sevens, `change` applied to each region. */
export function madeUp(work: WorkMessage, change: (region: MadeUpRegion) => object = () => ({})): Tiles {
  return work.tiles.map(({ t_id, out }) => ({
    t_id,
    compute_ms: 1,
    out: out.map(({ tensor, box, codec }) => {
      const shape = box.map(([start, end]) => end - start);
      const sevens = new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(7).buffer);
      const d = findCodec(codec.name)!.encode(sevens, { dtype: 'float32', shape }, codec);
      const region: MadeUpRegion = { tensor, box, dtype: 'float32', shape, codec, d };
      return { ...region, ...change(region) };
    }),
  })) as Tiles;
}

/** A region as `madeUp` makes it. */
export type MadeUpRegion = WireRegion;
