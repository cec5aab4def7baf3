import { channel } from 'node:diagnostics_channel';
import * as threads from 'node:worker_threads';
import { detailOf, type Failure, failureOf, TesseraError } from '../errors.ts';

/** A value with the buffers that are transferred instead of copied. */
export interface Moved<T> {
  readonly value: T;
  readonly transfer: readonly ArrayBuffer[];
}

type Question = { readonly id: number; readonly method: string; readonly args: unknown };
type Outgoing = { readonly question: Question; readonly transfer: readonly ArrayBuffer[] };
type Answer = { readonly id: number } & (
  | { readonly value: unknown }
  /** More follows. */
  | { readonly part: unknown }
  | { readonly failure: Failure; readonly detail?: string | undefined }
);

/**
 * Whether a buffer cannot be transferred, as Node's pool and buffers of native code. Node 20 has no function for that
 * and copies such a buffer of a transfer list; later versions throw.
 */
const mustStay = (threads as { isMarkedAsUntransferable?: (buffer: unknown) => boolean }).isMarkedAsUntransferable;

/**
 * The buffers of byte arrays, once each, for a transfer list; those that cannot be transferred are left out, and are
 * copied. A view of a larger buffer cannot be transferred without its neighbours: copy it first (`ownBytes`).
 */
export function buffersOf(arrays: Iterable<Uint8Array>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer, byteLength } of arrays)
    if (buffer instanceof ArrayBuffer && byteLength > 0 && mustStay?.(buffer) !== true) buffers.add(buffer);
  return [...buffers];
}

/** Bytes with their own buffer: the array itself where it fills its buffer, else a copy. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole && bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes);
}

/** Published on the diagnostics channel `tessera:worker-call` for subscribers: one answered call. */
export interface CallTiming {
  readonly method: string;
  /** From the call to its answer, hand-over and waiting included, ms. */
  readonly ms: number;
}

const timings = channel('tessera:worker-call');

interface OpenCall {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onPart: ((part: never) => void) | undefined;
}

/**
 * Calls functions in a worker thread. Every call is answered once, after any number of parts of its answer: with the value, with the worker's coded failure
 * (thrown as TesseraError), or, when the worker ends first, with TESSERA_INTERNAL. Calls made in one turn of the event
 * loop are sent as one message, because waking a thread costs more than most calls; buffers are transferred at the end
 * of that turn.
 */
export class WorkerCalls {
  readonly #worker: threads.Worker;
  readonly #open = new Map<number, OpenCall>();
  /** Calls of this turn. */
  #outgoing: Outgoing[] = [];
  #next = 0;
  #ended: TesseraError | undefined;

  constructor(worker: threads.Worker, onEnd: (error: TesseraError) => void = () => {}) {
    this.#worker = worker;
    let cause: unknown;
    worker.on('message', (answers: Answer[]) => {
      for (const answer of answers) this.#settle(answer);
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      const why = cause instanceof Error ? cause.message : `exit code ${code}`;
      this.#ended = new TesseraError('TESSERA_INTERNAL', `a worker thread ended: ${why}`, { cause });
      for (const call of this.#open.values()) call.reject(this.#ended);
      this.#open.clear();
      onEnd(this.#ended);
    });
  }

  call<T>(
    method: string,
    args: unknown,
    transfer: readonly ArrayBuffer[] = [],
    onPart?: (part: never) => void,
  ): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#next++;
    const started = timings.hasSubscribers ? performance.now() : undefined;
    return new Promise<T>((done, reject) => {
      const resolve = (value: T): void => {
        if (started !== undefined) timings.publish({ method, ms: performance.now() - started } satisfies CallTiming);
        done(value);
      };
      this.#open.set(id, { resolve, reject, onPart });
      if (this.#outgoing.length === 0) queueMicrotask(() => this.#flush());
      this.#outgoing.push({ question: { id, method, args }, transfer });
    });
  }

  #flush(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    try {
      this.#post(outgoing);
    } catch {
      // Something in it cannot be sent, so each call is sent alone and only that one fails.
      for (const one of outgoing) {
        try {
          this.#post([one]);
        } catch (error) {
          this.#settle({ id: one.question.id, failure: failureOf(error) });
        }
      }
    }
  }

  #post(outgoing: readonly Outgoing[]): void {
    // A buffer that two calls name is transferred once, and both get it.
    const moving = [...new Set(outgoing.flatMap(({ transfer }) => transfer))];
    const questions = outgoing.map(({ question }) => question);
    this.#worker.postMessage(questions, moving as unknown as threads.Transferable[]);
  }

  #settle(answer: Answer): void {
    const call = this.#open.get(answer.id);
    if (call === undefined) return;
    if ('part' in answer) {
      call.onPart?.(answer.part as never);
      return;
    }
    this.#open.delete(answer.id);
    if ('failure' in answer) {
      const { code, message, hint } = answer.failure;
      const cause = answer.detail === undefined ? {} : { cause: answer.detail };
      call.reject(new TesseraError(code, message, hint === undefined ? cause : { hint, ...cause }));
    } else call.resolve(answer.value as never);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Sends a part of the answer to a call, before its answer. */
export type SendPart<T> = (part: Moved<T>) => void;

/**
 * The worker's side: calls start in the order of arrival; a handler may answer with `Moved`. Immediate answers to the
 * calls of one message are sent back in one message.
 */
export function answerCalls<H extends Record<string, (args: never, sendPart: SendPart<unknown>) => unknown>>(
  port: threads.MessagePort,
  handlers: H,
): void {
  port.on('message', (questions: Question[]) => {
    const answers: Answer[] = [];
    const moving = new Set<ArrayBuffer>();
    const send = (list: readonly Answer[], buffers: Iterable<ArrayBuffer>): void =>
      port.postMessage(list, [...buffers] as unknown as threads.Transferable[]);
    for (const { id, method, args } of questions) {
      try {
        const result = handlers[method]!(args as never, ({ value, transfer }) => send([{ id, part: value }], transfer));
        if (result instanceof Promise) {
          result.then(
            (value: unknown) => send([answerOf(id, value)], isMoved(value) ? value.transfer : []),
            (error: unknown) => send([{ id, failure: failureOf(error), detail: detailOf(error) }], []),
          );
          continue;
        }
        answers.push(answerOf(id, result));
        if (isMoved(result)) for (const buffer of result.transfer) moving.add(buffer);
      } catch (error) {
        answers.push({ id, failure: failureOf(error), detail: detailOf(error) });
      }
    }
    if (answers.length > 0) send(answers, moving);
  });
}

function isMoved(value: unknown): value is Moved<unknown> {
  return typeof value === 'object' && value !== null && 'transfer' in value && 'value' in value;
}

function answerOf(id: number, result: unknown): Answer {
  return { id, value: isMoved(result) ? result.value : result };
}
