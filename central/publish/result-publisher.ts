import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { EndedFrame } from '../effects.ts';
import type { FrameTracker } from '../journal/frame-tracker.ts';
import type { Observers } from '../observers/observers.ts';
import type { Publisher } from './publisher.ts';
import { restartResult } from './restart-result.ts';
import { resultOf } from './result.ts';
import type { WantedResults } from './wanted-results.ts';

/** What `ResultPublisher` needs. */
export interface ResultPublisherOptions {
  readonly tracker: Pick<FrameTracker, 'publishing' | 'unserved' | 'whenWritten'>;
  readonly publisher: Pick<Publisher, 'result'>;
  readonly wanted: Pick<WantedResults, 'take'>;
  readonly observers: Pick<Observers, 'tell'>;
  /** Whether this central has begun to stop. */
  readonly isStopping: () => boolean;
}

interface Outgoing {
  readonly result: ResultObject;
  /** `result` as JSON. */
  readonly text: string;
  readonly regions: WireRegion[];
  /** The frame, where the coordinator had accepted it. */
  readonly frame?: EndedFrame;
  readonly acknowledged: () => void;
}

/**
 * Publishes the result of every frame that was accepted.
 *
 *   1. A result is published after the journal has it.
 *   2. The journal keeps the frame open until the broker has acknowledged or refused its result. A result that the end of
 *      this process or of its term cuts off stays open: the next run publishes it.
 */
export class ResultPublisher {
  readonly #options: ResultPublisherOptions;

  constructor(options: ResultPublisherOptions) {
    this.#options = options;
  }

  /** Publishes the result of a frame that has ended. */
  ended(frame: EndedFrame): void {
    const { end, arrival, model, approximate, size, answer } = frame;
    const { task, exits } = model.card;
    const { time, traceparent } = arrival;
    const facts = { modelSha: model.version, task, exits, time, traceparent, ...size, approximate, answer };
    const result = resultOf(end, facts);
    const text = JSON.stringify(result);
    const acknowledged = this.#options.tracker.publishing(end.i_id, text);
    this.#publish({ result, text, regions: answer?.regions ?? [], frame, acknowledged });
  }

  /** Publishes an error for a frame that waited for its turn when this central began to stop. */
  unserved(ref: string, model: string): void {
    let result: ResultObject | undefined;
    const outgoing = this.#options.tracker.unserved(ref, model, ({ n, frame }) => {
      result = restartResult({ n, ...frame }, Date.now() / 1000);
      return JSON.stringify(result);
    });
    if (outgoing === undefined || result === undefined) return;
    this.#publish({ result, text: outgoing.result, regions: [], acknowledged: outgoing.acknowledged });
  }

  #publish(outgoing: Outgoing): void {
    const { tracker, publisher, wanted, observers, isStopping } = this.#options;
    const written = tracker.whenWritten();
    if (written !== undefined) return void written.then(() => this.#publish(outgoing));
    const { result, text, regions, frame, acknowledged } = outgoing;
    if (wanted.take(result))
      void publisher.result(result, text, regions).then((arrived) => {
        if (arrived || !isStopping()) acknowledged();
      });
    else acknowledged();
    if (frame !== undefined) observers.tell('frameEnded', frame, result);
  }
}
