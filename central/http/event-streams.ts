import type { ServerResponse } from 'node:http';

/** Open streams; unread bytes of one above which it is closed. */
export const STREAMS = 32;
export const STREAM_BYTES = 4 * 2 ** 20;

/** Server-sent events (WHATWG HTML, section 9.2) for everybody who looks. */
export class EventStreams {
  readonly #open = new Set<ServerResponse>();

  /** Whether somebody looks. */
  get some(): boolean {
    return this.#open.size > 0;
  }

  /** Whether there is room for one more. */
  get hasRoom(): boolean {
    return this.#open.size < STREAMS;
  }

  /** Opens a stream, which begins with these events; it ends when `ended` is aborted. */
  add(
    response: ServerResponse,
    first: readonly (readonly [event: string, json: string])[],
    ended: AbortSignal | undefined,
  ): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    this.#open.add(response);
    // What a reader has not read yet is not for somebody who may no longer look.
    const end = (): void => void response.destroy();
    ended?.addEventListener('abort', end);
    response.once('close', () => {
      this.#open.delete(response);
      ended?.removeEventListener('abort', end);
    });
    for (const [event, json] of first) response.write(textOf(event, json));
  }

  /** Sends an event to all; a reader that does not read is closed, and its browser connects again. */
  send(event: string, json: string): void {
    const text = textOf(event, json);
    for (const response of this.#open) {
      if (response.writableLength > STREAM_BYTES) response.destroy();
      else response.write(text);
    }
  }

  /** Closes all. */
  stop(): void {
    for (const response of this.#open) response.end();
  }
}

// JSON has no line ends.
const textOf = (event: string, json: string): string => `event: ${event}\ndata: ${json}\n\n`;
