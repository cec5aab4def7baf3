import { AcknowledgementOrder } from './acknowledgement-order.ts';
import type { AedesParts, Packet } from './aedes-parts.ts';
import type { AedesSessionStore } from './aedes-session-store.ts';

/**
 * Corrects the order in which Aedes works.
 *
 *   1. A message with QoS 1 or 2 is stored and routed before it is acknowledged; Aedes acknowledges first.
 *   2. Acknowledgements leave in the order of their messages (acknowledgement-order.ts).
 *   3. No message overtakes another between numbering and delivery: Aedes takes a message with a lower number than the
 *      one before for a duplicate through a second subscription (issues 955 and 994 of moscajs/aedes).
 */

/** The client that published a message. */
export interface Publisher {
  readonly id: string;
  readonly closed: boolean;
}

/** A message as a client sent it; a last will has no command. */
export interface Arriving {
  readonly cmd?: string;
  readonly qos: 0 | 1 | 2;
  brokerId?: string;
  brokerCounter?: number;
  readonly messageId?: number;
}

/** How long a frame that cannot be stored is held before it is tried once more, and its publisher disconnected. */
const REFUSAL_MS = 1000;

/** Routes the messages of one Aedes. */
export class Routing {
  readonly #aedes: AedesParts;
  readonly #sessions: Pick<AedesSessionStore, 'take'>;
  readonly #turns = new AcknowledgementOrder();
  /** Messages that were routed and are not acknowledged yet. */
  readonly #routed = new WeakSet<object>();

  constructor(aedes: AedesParts, sessions: Pick<AedesSessionStore, 'take'>) {
    this.#aedes = aedes;
    this.#sessions = sessions;
    numberAnew(aedes);
    passOver(aedes, this.#routed);
  }

  /** Drops a message: it is acknowledged and not delivered. */
  drop(packet: object): void {
    this.#routed.add(packet);
  }

  /**
   * Routes a message that was authorized; `done` lets Aedes acknowledge it, or closes the connection. Runs in an event
   * loop turn of its own, as Aedes does.
   */
  first(client: Publisher, packet: Arriving, done: (error?: Error | null) => void): void {
    const answer = this.#turns.take(client, done);
    if (packet.qos < 2 || packet.cmd === undefined) {
      setImmediate(() => this.#route(client, packet, answer, false));
      return;
    }
    setImmediate(() => {
      const had = this.#aedes.persistence.incomingGetPacket(client, { messageId: packet.messageId! });
      had.then(
        () => answer(null),
        () => this.#route(client, packet, answer, false),
      );
    });
  }

  #route(client: Publisher, packet: Arriving, answer: (error?: Error | null) => void, isLast: boolean): void {
    const aedes = this.#aedes;
    const isWill = packet.cmd === undefined;
    // A client that is gone gets no acknowledgement, and sends the message again.
    if (client.closed && !isWill) {
      answer(new Error('its connection ended'));
      return;
    }
    const taken = this.#sessions.take(packet as unknown as Packet, () => {
      packet.brokerId = aedes.id;
      packet.brokerCounter = ++aedes.counter;
      return packet.brokerCounter;
    });
    if (taken === 'refused') {
      if (isWill || isLast) answer(new Error('its frame cannot be stored for central, and is not acknowledged'));
      else setTimeout(() => this.#route(client, packet, answer, true), REFUSAL_MS).unref();
      return;
    }
    this.#routed.add(packet);
    if (taken === 'repeated') answer(null);
    else aedes.publish({ ...packet }, client, answer);
  }
}

/**
 * Gives QoS 0 messages that were overtaken a new number: Aedes stores retained messages first, which takes longer.
 * Frames with QoS 1 are stored under their numbers, and only the broker's own messages overtake them.
 */
function numberAnew(aedes: AedesParts): void {
  const { mq } = aedes;
  const emit = mq.emit.bind(mq);
  let last = 0;
  mq.emit = (packet, done) => {
    if (packet.qos === 0 && packet.brokerCounter < last) packet.brokerCounter = ++aedes.counter;
    last = Math.max(last, packet.brokerCounter);
    emit(packet, done);
  };
}

/** Keeps Aedes from publishing a message that was routed already. */
function passOver(aedes: AedesParts, routed: WeakSet<object>): void {
  const publish = aedes.publish.bind(aedes);
  aedes.publish = (packet, client, done) => {
    if (routed.delete(packet) && done !== undefined) done();
    else publish(packet, client, done);
  };
}
