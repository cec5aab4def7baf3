/**
 * Answers what each client sent in the order in which it came, though it is done in another one: acknowledgements have
 * that order (MQTT-4.6.0-2).
 */

/** How a message ended: with a fault, or well. */
type Answer = (fault?: Error | null) => void;

interface Turn {
  readonly answer: Answer;
  ended: boolean;
  fault: Error | null | undefined;
}

/** The turns of all clients. */
export class AcknowledgementOrder {
  readonly #queues = new WeakMap<object, Turn[]>();

  /** Queues up for a client; `answer` is called once, when whoever came before was answered and the result is called. */
  take(client: object, answer: Answer): Answer {
    const queue = this.#queues.get(client) ?? [];
    this.#queues.set(client, queue);
    const turn: Turn = { answer, ended: false, fault: undefined };
    queue.push(turn);
    return (fault) => {
      if (turn.ended) return;
      turn.ended = true;
      turn.fault = fault;
      while (queue[0]?.ended === true) {
        const next = queue.shift()!;
        next.answer(next.fault);
      }
    };
  }
}
