/**
 * Acknowledges the messages of each client in the order of their arrival (MQTT-4.6.0-2), in whatever order they are
 * done.
 */

/** Ends a message: with an error, or well. */
type Answer = (fault?: Error | null) => void;

interface Turn {
  readonly answer: Answer;
  ended: boolean;
  fault: Error | null | undefined;
}

/** The order of all clients' messages. */
export class AcknowledgementOrder {
  readonly #queues = new WeakMap<object, Turn[]>();

  /**
   * Queues a message of a client; `answer` is called once, after all earlier ones were answered and the result was
   * called.
   */
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
