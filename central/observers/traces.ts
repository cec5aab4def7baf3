import { failureOf, TesseraError } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import { type TraceRequest, traceRequest } from '../../shared/protocol/messages/requests.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { FrameTrace } from '../../shared/protocol/messages/trace.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { handler, type RequestHandler } from '../../shared/runtime/requests.ts';
import type { EndedFrame } from '../effects.ts';
import type { Publisher } from '../publish/publisher.ts';
import { spansOf } from '../publish/spans.ts';
import type { Observer } from './observer.ts';

/** What `Traces` needs. */
export interface TracesOptions {
  readonly publisher: Pick<Publisher, 'sample'>;
  readonly topics: Pick<Topics, 'trace'>;
  /** Options of a camera; undefined for one that is not known. */
  readonly known: (camera: string) => unknown;
  /** Answers requests until central stops. */
  readonly answer: (handlers: Readonly<Record<string, RequestHandler>>) => Promise<void>;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
}

/** Publishes where the time of a camera's next frames went, where somebody has asked for it. */
export class Traces implements Observer {
  readonly #options: TracesOptions;
  /** Frames that are still to be published, by camera. */
  readonly #wanted = new Map<string, number>();

  constructor(options: TracesOptions) {
    this.#options = options;
  }

  start(): void {
    const { answer, throttledLog } = this.#options;
    answer({ trace: handler(traceRequest, async (asked) => this.request(asked)) }).catch((error: unknown) =>
      throttledLog.warn('trace', `frames cannot be traced: ${failureOf(error).message}`),
    );
  }

  /** Has the next frames of a camera published; a later request takes the place of an earlier one. Throws TESSERA_USAGE. */
  request({ camera, frames }: TraceRequest): { readonly topic: string } {
    const { known, topics } = this.#options;
    if (known(camera) === undefined)
      throw new TesseraError('TESSERA_USAGE', `central knows no camera ${JSON.stringify(camera)}`, {
        hint: 'a camera is known from its first frame on, or from the configuration',
      });
    this.#wanted.set(camera, frames);
    return { topic: topics.trace(camera) };
  }

  frameEnded({ end, arrival }: EndedFrame, result: ResultObject): void {
    const { id, frame, camera, model, plan, status, frame_time, latency_ms } = result;
    const left = this.#wanted.get(camera);
    if (left === undefined) return;
    if (left > 1) this.#wanted.set(camera, left - 1);
    else this.#wanted.delete(camera);
    const { traceparent } = arrival;
    const message: FrameTrace = {
      v: 1,
      ...{ id, frame, camera, model, plan, status, frame_time, latency_ms },
      ...(traceparent === undefined ? {} : { traceparent }),
      spans: spansOf(end),
      trace: [...end.trace],
    };
    const { publisher, topics } = this.#options;
    publisher.sample(topics.trace(camera), JSON.stringify(message));
  }

  cameraForgotten(camera: string): void {
    this.#wanted.delete(camera);
  }
}
