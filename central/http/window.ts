import { TesseraError } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/loopback.ts';
import type { Log } from '../../shared/ports.ts';
import type { BrokerConnection, WindowOptions } from '../central-options.ts';
import type { Observer } from '../observers/observer.ts';
import { Complaints } from './complaints.ts';
import { EventStreams } from './event-streams.ts';
import { enterBroker, Logins } from './logins.ts';
import { Metrics } from './metrics.ts';
import { type Page, readPage } from './page-files.ts';
import { Refusal } from './refusal.ts';
import { Routes } from './routes.ts';
import { HttpServer } from './server.ts';
import { ShownFrames } from './shown-frames.ts';
import { View, type WatchedCentral, type WatchedWork } from './view.ts';

/**
 * Logins where they are needed: beyond this machine, and where central itself has to log in at the broker. Throws
 * TESSERA_CONFIG beyond this machine where the broker lets anybody in.
 */
async function loginsFor(host: string, bus: BrokerConnection, base: string): Promise<Logins | undefined> {
  const isHere = isLoopback(host);
  const isOpen = bus.user === undefined && bus.cert === undefined && new URL(bus.url).username === '';
  if (isHere && isOpen) return undefined;
  const logins = new Logins(enterBroker(bus, base), () => performance.now());
  if ((await logins.admitStrangers()) !== true) return logins;
  if (isHere) return undefined;
  throw new TesseraError('TESSERA_CONFIG', `http.host ${host} is beyond this machine, and the broker lets anybody in`, {
    hint: 'listen on 127.0.0.1, or use a broker that checks user names and passwords (docs/security.md)',
  });
}

/** Time between two states that are sent to those who look, ms. */
const STATE_MS = 1000;

/**
 * The HTTP side of central: the page, its API, metrics and health.
 *
 *   starting --watch--> watching --stop--> stopped
 *
 *   1. It follows central and decides nothing; only settings go the other way.
 *   2. A frame costs it a look at the clock. States are put together once a second while somebody looks, pictures and
 *      metrics when they are asked for.
 *   3. Where a login is needed, only the page's files and a bare `/healthz` are served without.
 */
export class Window {
  readonly #base: string;
  readonly #frames = new ShownFrames(() => performance.now());
  readonly #complaints = new Complaints(() => Date.now() / 1000);
  readonly #streams = new EventStreams();
  readonly #metrics = new Metrics();
  readonly #logins: Logins | undefined;
  #server: HttpServer | undefined;
  #view: View | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(base: string, logins: Logins | undefined) {
    this.#base = base;
    this.#logins = logins;
    this.#frames.onFrame = (camera) => this.#announce(camera);
    this.#complaints.onLine = (line) => this.#streams.send('log', JSON.stringify(line));
  }

  /**
   * Opens a window. Throws TESSERA_CONFIG where it cannot listen, and where it would be open to anybody beyond this
   * machine.
   */
  static async open(options: WindowOptions, bus: BrokerConnection, base: string): Promise<Window> {
    const window = new Window(base, await loginsFor(options.host, bus, base));
    await window.#listen(options, await readPage());
    return window;
  }

  get url(): string {
    return this.#server!.url;
  }

  /** A log whose warnings and errors are shown. */
  log(log: Log): Log {
    return this.#complaints.of(log);
  }

  /** Shows a central. */
  watch(central: WatchedCentral): void {
    this.#view = new View(central, this.#base);
    this.#timer = setInterval(() => {
      this.#logins?.endOld();
      if (this.#streams.some) this.#streams.send('state', JSON.stringify(this.#view!.state()));
    }, STATE_MS);
  }

  /** Shows the work of the central that it watches, which has become active; the observers are to follow it. */
  begin(work: WatchedWork): readonly Observer[] {
    this.#view!.begin(work);
    return [this.#frames, this.#metrics];
  }

  /** Takes in a state that central publishes. */
  note(topic: string, payload: string): void {
    this.#view!.note(topic, payload);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#streams.stop();
    this.#logins?.stop();
    await this.#server?.stop();
  }

  async #listen({ host, ports, releases }: WindowOptions, page: Page): Promise<void> {
    const routes = new Routes({
      page,
      releases,
      logins: this.#logins,
      view: () => this.#view,
      frames: this.#frames,
      log: () => this.#complaints.lines,
      metrics: async (view) => ({
        status: 200,
        type: this.#metrics.contentType,
        body: await this.#metrics.text(view.sources()),
      }),
      listen: (view, response, ended) => {
        if (!this.#streams.hasRoom) throw new Refusal(503, 'too many browsers look already');
        const lines = this.#complaints.lines.map((line) => ['log', JSON.stringify(line)] as const);
        this.#streams.add(response, [['state', JSON.stringify(view.state())], ...lines], ended);
      },
    });
    const headers = {
      'content-security-policy': page.policy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    };
    this.#server = await HttpServer.listen(host, ports, headers, (request, response) =>
      routes.handle(request, response),
    );
  }

  #announce(camera: string): void {
    if (this.#streams.some) this.#streams.send('frame', JSON.stringify({ camera }));
  }
}
