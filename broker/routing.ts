import { AcknowledgementOrder } from './acknowledgement-order.ts';
import type { AedesParts, Packet } from './aedes-parts.ts';
import type { AedesSessionStore } from './aedes-session-store.ts';

/**
 * The order in which Aedes does things, put right.
 *
 *   1. A message with QoS 1 or 2 is kept and routed before it is acknowledged; Aedes does it the other way round.
 *   2. Acknowledgements leave in the order in which messages came (acknowledgement-order.ts).
 *   3. From its number to its delivery nothing passes a message: Aedes takes what reaches a client with a lower number
 *      than the message before for one that came through two subscriptions (issues 955 and 994 of moscajs/aedes).
 */

/** A client as far as its messages are routed. */
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

/** How long a frame that cannot be kept is held before it is tried once more, and its publisher sent away. */
const REFUSAL_MS = 1000;

/** Routes what is published at one Aedes. */
export class Routing {
  readonly #aedes: AedesParts;
  readonly #sessions: Pick<AedesSessionStore, 'take'>;
  readonly #turns = new AcknowledgementOrder();
  /** Messages that were routed before they are acknowledged. */
  readonly #routed = new WeakSet<object>();

  constructor(aedes: AedesParts, sessions: Pick<AedesSessionStore, 'take'>) {
    this.#aedes = aedes;
    this.#sessions = sessions;
    numberAnew(aedes);
    passOver(aedes, this.#routed);
  }

  /** Passes over a message: it is acknowledged, and nobody gets it. */
  drop(packet: object): void {
    this.#routed.add(packet);
  }

  /**
   * Routes a message that may be published; `done` lets Aedes acknowledge it, or closes the connection. In a turn of the
   * event loop of its own, as Aedes would.
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
    // Whoever is gone could not be told, and sends it again.
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
      if (isWill || isLast) answer(new Error('its frame cannot be kept for central, and is not acknowledged'));
      else setTimeout(() => this.#route(client, packet, answer, true), REFUSAL_MS).unref();
      return;
    }
    this.#routed.add(packet);
    if (taken === 'repeated') answer(null);
    else aedes.publish({ ...packet }, client, answer);
  }
}

/**
 * What is stored to be retained is passed by what is not. Of QoS 0 it gets a new number; with QoS 1 frames are kept under
 * theirs, and only messages of the broker itself pass them.
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

/** Lets Aedes publish no more what was routed already. */
function passOver(aedes: AedesParts, routed: WeakSet<object>): void {
  const publish = aedes.publish.bind(aedes);
  aedes.publish = (packet, client, done) => {
    if (routed.delete(packet) && done !== undefined) done();
    else publish(packet, client, done);
  };
}
