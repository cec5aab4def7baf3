import { connect, type Socket } from 'node:net';
import { connectPacket, pubackIds, publishPacketQos1 } from './raw-mqtt.ts';

/**
 * A camera as outside clients are (MQTT 3.1.1, QoS 1, a clean session): it connects again when its connection is lost,
 * and sends what was not acknowledged again, marked as a repetition, under the same packet identifier.
 */
export class SteadyCamera {
  /** Payloads that the broker has acknowledged. */
  readonly acknowledged: string[] = [];
  readonly #port: number;
  readonly #topic: string;
  readonly #onAcknowledged: (text: string) => void;
  readonly #waiting = new Map<number, { text: string; topic: string; payload: Uint8Array; sent: boolean }>();
  #socket: Socket | undefined;
  #ready = false;
  #nextId = 0;
  #ended = false;
  #look: () => void = () => {};

  constructor(port: number, topic: string, onAcknowledged: (text: string) => void = () => {}) {
    this.#onAcknowledged = onAcknowledged;
    this.#port = port;
    this.#topic = topic;
    this.#open();
  }

  /** Sends a frame, now or when there is a connection; `text` stands for it, `topic` is its own where it has one. */
  send(text: string, payload: Uint8Array = Buffer.from(text), topic = this.#topic): void {
    this.#nextId = (this.#nextId % 65_535) + 1;
    this.#waiting.set(this.#nextId, { text, topic, payload, sent: false });
    this.#write(this.#nextId);
  }

  /** Resolves when all that was sent is acknowledged. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (this.#waiting.size === 0) resolve();
      };
      this.#look();
    });
  }

  end(): void {
    this.#ended = true;
    this.#socket?.destroy();
  }

  #open(): void {
    const socket = connect(this.#port, '127.0.0.1');
    socket.setNoDelay(true);
    this.#socket = socket;
    let rest: Buffer = Buffer.alloc(0);
    socket.on('connect', () =>
      socket.write(connectPacket(`camera-${process.pid}-${this.#topic.replaceAll('/', '-')}`)),
    );
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      if (!this.#ready) {
        if (rest.length < 4) return;
        rest = rest.subarray(4);
        this.#ready = true;
        for (const id of this.#waiting.keys()) this.#write(id);
      }
      const { ids, bytes } = pubackIds(rest);
      rest = rest.subarray(bytes);
      for (const id of ids) {
        const frame = this.#waiting.get(id);
        if (!this.#waiting.delete(id)) continue;
        this.acknowledged.push(frame!.text);
        this.#onAcknowledged(frame!.text);
      }
      this.#look();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ready = false;
      if (!this.#ended) setTimeout(() => this.#open(), 50);
    });
  }

  #write(id: number): void {
    const frame = this.#waiting.get(id);
    if (!this.#ready || frame === undefined) return;
    this.#socket!.write(publishPacketQos1(frame.topic, frame.payload, id, frame.sent));
    frame.sent = true;
  }
}
