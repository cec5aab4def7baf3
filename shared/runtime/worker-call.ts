import { channel } from 'node:diagnostics_channel';
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';
import { type Failure, failureOf, TesseraError } from '../errors.ts';

/** A value together with the buffers that move with it instead of being copied. */
export interface Moved<T> {
  readonly value: T;
  readonly transfer: readonly ArrayBuffer[];
}

type Question = { readonly id: number; readonly method: string; readonly args: unknown };
type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly failure: Failure });

/**
 * The buffers behind byte arrays, once each, for a transfer list. An array that is a window of a larger buffer
 * cannot move without taking its neighbours along: copy it first (`ownBytes`).
 */
export function buffersOf(arrays: Iterable<Uint8Array>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const array of arrays)
    if (array.buffer instanceof ArrayBuffer && array.byteLength > 0) buffers.add(array.buffer);
  return [...buffers];
}

/** Bytes that own their buffer: the array itself where it fills it, else a copy. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole && bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes);
}

/** What is published on the diagnostics channel `tessera:worker-call` when somebody listens: one answered call. */
export interface CallTiming {
  readonly method: string;
  /** From the call to its answer, hand-over and waiting included, ms. */
  readonly ms: number;
}

const timings = channel('tessera:worker-call');

/**
 * Calls functions in a worker thread. Every call is answered once: with the value, with the worker's coded failure
 * (thrown as TesseraError), or, when the worker ends first, with TESSERA_INTERNAL.
 */
export class WorkerCalls {
  readonly #worker: Worker;
  readonly #open = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #next = 0;
  #ended: TesseraError | undefined;

  constructor(worker: Worker, onEnd: (error: TesseraError) => void = () => {}) {
    this.#worker = worker;
    let cause: unknown;
    worker.on('message', (answer: Answer) => {
      const call = this.#open.get(answer.id);
      if (call === undefined) return;
      this.#open.delete(answer.id);
      if ('failure' in answer) {
        const { code, message, hint } = answer.failure;
        call.reject(new TesseraError(code, message, hint === undefined ? {} : { hint }));
      } else call.resolve(answer.value as never);
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

  call<T>(method: string, args: unknown, transfer: readonly ArrayBuffer[] = []): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#next++;
    const started = timings.hasSubscribers ? performance.now() : undefined;
    return new Promise<T>((done, reject) => {
      const resolve = (value: T): void => {
        if (started !== undefined) timings.publish({ method, ms: performance.now() - started } satisfies CallTiming);
        done(value);
      };
      this.#open.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args } satisfies Question, transfer as unknown as Transferable[]);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The worker's side: answers calls in the order in which they come; a handler may answer with `Moved`. */
export function answerCalls<H extends Record<string, (args: never) => unknown>>(port: MessagePort, handlers: H): void {
  const isMoved = (value: unknown): value is Moved<unknown> =>
    typeof value === 'object' && value !== null && 'transfer' in value && 'value' in value;
  port.on('message', async ({ id, method, args }: Question) => {
    let answer: Answer;
    let transfer: readonly ArrayBuffer[] = [];
    try {
      const result = await handlers[method]!(args as never);
      if (isMoved(result)) transfer = result.transfer;
      answer = { id, value: isMoved(result) ? result.value : result };
    } catch (error) {
      answer = { id, failure: failureOf(error) };
    }
    port.postMessage(answer, transfer as unknown as Transferable[]);
  });
}
