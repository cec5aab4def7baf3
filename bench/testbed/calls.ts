import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type Failure, failureOf, TesseraError } from '../../shared/errors.ts';

/** Calls between this process and a child, over the channel that Node opens between them. */

/** What a child answers: a method's parameters as one value. */
export type Methods = Readonly<Record<string, (parameters: never) => unknown>>;

interface Question {
  readonly id: number;
  readonly method: string;
  readonly parameters: unknown;
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: Failure;
}

/** In a child: answers calls until the parent is gone. */
export function answerCalls(methods: Methods): void {
  process.on('message', (message) => {
    const { id, method, parameters } = message as Question;
    const answer = async (): Promise<Reply> => {
      try {
        return { id, value: await methods[method]!(parameters as never) };
      } catch (error) {
        return { id, error: failureOf(error) };
      }
    };
    void answer().then((reply) => process.connected && process.send!(reply));
  });
  process.on('disconnect', () => process.exit(0));
  process.send!({ id: 0 } satisfies Reply);
}

/** In the parent: a child that answers calls. */
export class Callee<M extends Methods> {
  readonly child: ChildProcess;
  /** Resolves when the child can be called. */
  readonly ready: Promise<unknown>;
  readonly #name: string;
  readonly #open = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #next = 0;
  #ended = false;

  /** `child`: spawned with an IPC channel. */
  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.child = child;
    this.ready = new Promise((resolve, reject) => this.#open.set(0, { resolve, reject }));
    this.ready.catch(() => {});
    child.on('message', (message) => {
      const { id, value, error } = message as Reply;
      const open = this.#open.get(id);
      this.#open.delete(id);
      if (error === undefined) open?.resolve(value as never);
      else open?.reject(new TesseraError(error.code, `${this.#name}: ${error.message}`, { hint: error.hint }));
    });
    void once(child, 'exit').then(() => {
      this.#ended = true;
      for (const { reject } of this.#open.values()) reject(this.#gone());
    });
  }

  /** Calls a method; rejects with a TesseraError where it throws, or the child ends. */
  call<K extends keyof M & string>(method: K, parameters: Parameters<M[K]>[0]): Promise<Awaited<ReturnType<M[K]>>> {
    if (this.#ended) return Promise.reject(this.#gone());
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.child.send({ id, method, parameters } satisfies Question);
    });
  }

  #gone(): Error {
    return new Error(`${this.#name} ended (${this.child.exitCode ?? this.child.signalCode})`);
  }
}
