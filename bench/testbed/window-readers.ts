import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { startBrowser } from './browser.ts';

/** Clients that look at the window, or do not. */
export interface Readers {
  /** Resolves when all of them have the view of the cameras. */
  look(): Promise<void>;
  rest(): Promise<void>;
  stop(): Promise<void>;
}

/** Pages of Chromium, each in a context of its own. */
export async function openBrowsers(url: string, count: number): Promise<Readers> {
  const browser = await startBrowser();
  const pages = await Promise.all(Array.from({ length: count }, async () => (await browser.newContext()).newPage()));
  return {
    async look() {
      await Promise.all(
        pages.map(async (page) => {
          await page.goto(`${url}/#cameras`);
          await page.locator('[data-camera] image').first().waitFor();
        }),
      );
    },
    async rest() {
      await Promise.all(pages.map((page) => page.goto('about:blank')));
    },
    stop: () => browser.close(),
  };
}

/** Clients that ask what a page with the view of the cameras asks, and draw nothing. */
export async function openStreams(url: string, count: number): Promise<Readers> {
  let open: Stream[] = [];
  const rest = async (): Promise<void> => {
    for (const stream of open) stream.end();
    open = [];
  };
  return {
    async look() {
      open = Array.from({ length: count }, () => new Stream(url));
      await Promise.all(open.map((stream) => stream.opened));
    },
    rest,
    stop: rest,
  };
}

/** An event stream as `page/live.js` reads it: of each frame it asks for the trace, and then for the picture. */
class Stream {
  readonly opened: Promise<void>;
  readonly #url: string;
  readonly #reading = new Set<string>();
  #events: IncomingMessage | undefined;

  constructor(url: string) {
    this.#url = url;
    this.opened = this.#listen();
  }

  end(): void {
    this.#events?.destroy();
  }

  async #listen(): Promise<void> {
    const [events] = (await once(get(`${this.#url}/api/v1/events`), 'response')) as [IncomingMessage];
    this.#events = events;
    let text = '';
    events.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const whole = text.split('\n\n');
      text = whole.pop()!;
      for (const event of whole) {
        const [, camera] = /^event: frame\ndata: \{"camera":"(.*)"\}$/.exec(event) ?? [];
        if (camera !== undefined) void this.#read(camera);
      }
    });
    events.on('error', () => {});
  }

  async #read(camera: string): Promise<void> {
    if (this.#reading.has(camera)) return;
    this.#reading.add(camera);
    const path = `${this.#url}/api/v1/frames/${camera}`;
    try {
      const frame = (await (await fetch(path)).json()) as { readonly result: { readonly id: string } };
      await (await fetch(`${path}/${frame.result.id}/picture`)).arrayBuffer();
    } finally {
      this.#reading.delete(camera);
    }
  }
}
