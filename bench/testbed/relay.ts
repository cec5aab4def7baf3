import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';

/**
 * A link between a client and a server on this machine that can be slow, silent or cut: what `tc` does where it may be
 * used. Bytes of each direction pass in order, at most `bytesPerSec` of them; a link that stalls loses nothing.
 */
export class Relay {
  /** Where clients connect. */
  readonly port: number;
  readonly #server: ReturnType<typeof createServer>;
  readonly #pairs = new Set<Pair>();
  #bytesPerSec = Number.POSITIVE_INFINITY;
  #stalled = false;
  #cut = false;

  private constructor(server: ReturnType<typeof createServer>, target: number) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (client) => {
      if (this.#cut) {
        client.destroy();
        return;
      }
      const pair = new Pair(client, createConnection({ port: target, host: '127.0.0.1', noDelay: true }), () =>
        this.#pairs.delete(pair),
      );
      pair.pace(this.#stalled ? 0 : this.#bytesPerSec);
      this.#pairs.add(pair);
    });
  }

  static async open(target: number): Promise<Relay> {
    // Reads little ahead; otherwise the relay would accept at once what it forwards slowly.
    const server = createServer({ noDelay: true, highWaterMark: 16 * 1024 }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Relay(server, target);
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** Each direction at so many bytes a second; 1.6 Mbit/s are 200 000. */
  slow(bytesPerSec: number): void {
    this.#bytesPerSec = bytesPerSec;
    this.#apply();
  }

  /** No bytes pass any more, and neither side is told, not even that the other has closed. */
  stall(): void {
    this.#stalled = true;
    this.#apply();
  }

  /** Every connection is reset, and new ones are refused. */
  cut(): void {
    this.#cut = true;
    for (const pair of this.#pairs) pair.reset();
  }

  /** A normal link again. */
  repair(): void {
    this.#bytesPerSec = Number.POSITIVE_INFINITY;
    this.#stalled = false;
    this.#cut = false;
    this.#apply();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close').catch(() => {});
  }

  #apply(): void {
    for (const pair of this.#pairs) pair.pace(this.#stalled ? 0 : this.#bytesPerSec);
  }
}

const STEP_MS = 20;

class Pair {
  readonly #ends: readonly [Socket, Socket];
  readonly #flows: readonly [Flow, Flow];
  #stalled = false;
  #ended = false;

  constructor(client: Socket, server: Socket, onEnd: () => void) {
    this.#ends = [client, server];
    this.#flows = [new Flow(client, server), new Flow(server, client)];
    for (const end of this.#ends) {
      end.on('error', () => {});
      end.on('close', () => {
        this.#ended = true;
        if (this.#stalled) return;
        this.reset();
        onEnd();
      });
    }
  }

  pace(bytesPerSec: number): void {
    this.#stalled = bytesPerSec === 0;
    if (this.#ended && !this.#stalled) this.reset();
    for (const flow of this.#flows) flow.pace(bytesPerSec);
  }

  reset(): void {
    for (const flow of this.#flows) flow.stop();
    for (const end of this.#ends) end.destroy();
  }
}

/** One direction: forwards from `from` to `to` at the current rate. */
class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  #bytesPerSec = Number.POSITIVE_INFINITY;
  #debt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    from.on('data', (chunk) => {
      to.write(chunk);
      this.#debt += chunk.length;
      if (this.#debt > this.#step() || to.writableNeedDrain) from.pause();
    });
    to.on('drain', () => this.#resume());
    from.on('end', () => to.end());
  }

  pace(bytesPerSec: number): void {
    this.#bytesPerSec = bytesPerSec;
    this.#debt = 0;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (bytesPerSec === 0) this.#from.pause();
    else {
      if (Number.isFinite(bytesPerSec)) this.#timer = setInterval(() => this.#pay(), STEP_MS);
      this.#resume();
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #step(): number {
    return (this.#bytesPerSec * STEP_MS) / 1000;
  }

  #pay(): void {
    this.#debt = Math.max(0, this.#debt - this.#step());
    this.#resume();
  }

  #resume(): void {
    if (this.#bytesPerSec > 0 && this.#debt <= this.#step() && !this.#to.writableNeedDrain) this.#from.resume();
  }
}
