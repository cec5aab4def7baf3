/**
 * What central says, as it says it: the state of the events, the frames of the cameras that are looked at, and the log.
 *
 * @import { ApiFrame, ApiLogLine, ApiSession, ApiSettings, ApiState } from '../api.ts'
 */

/** Lines of the log that are kept. */
const LINES = 200;
/** Without an event for so long the page says that it is out of date, ms. */
const STALE_MS = 4000;

/** The page's copy of what central says; `onChange` is called whenever it has changed. */
export class Live {
  /** @type {ApiSession | undefined} */
  session;
  /** @type {ApiState | undefined} */
  state;
  /** Newest frames by camera. @type {Map<string, ApiFrame>} */
  frames = new Map();
  /** @type {ApiLogLine[]} */
  lines = [];
  /** Whether events come. */
  isConnected = false;
  /** @type {() => void} */
  onChange = () => {};
  /** Cameras of which frames are read. @type {ReadonlySet<string>} */
  #watched = new Set();
  /** @type {Set<string>} */
  #reading = new Set();
  /** @type {EventSource | undefined} */
  #events;
  /** @type {number | undefined} */
  #timer;

  /** Asks who looks, and listens to events where they may. */
  async start() {
    this.session = await (await fetch('/api/v1/session')).json();
    if (this.session?.role !== null) this.#listen();
    this.onChange();
  }

  /**
   * Reads frames of these cameras, and of no others.
   * @param {readonly string[]} cameras
   */
  watch(cameras) {
    if (cameras.length === this.#watched.size && cameras.every((camera) => this.#watched.has(camera))) return;
    this.#watched = new Set(cameras);
    for (const camera of cameras) void this.#readFrame(camera);
  }

  /**
   * Logs in; answers why that failed.
   * @param {string} user
   * @param {string} password
   * @returns {Promise<string | undefined>}
   */
  async login(user, password) {
    const answer = await post('/api/v1/login', { user, password });
    if (!answer.ok) return faultOf(answer);
    await this.start();
    return undefined;
  }

  async logout() {
    this.#events?.close();
    await post('/api/v1/logout', {});
    location.reload();
  }

  /** @returns {Promise<ApiSettings | undefined>} */
  async settings() {
    const answer = await fetch('/api/v1/settings');
    return answer.ok ? answer.json() : undefined;
  }

  /**
   * Changes a setting; answers why that failed.
   * @param {object} change
   * @returns {Promise<string | undefined>}
   */
  async change(change) {
    const answer = await post('/api/v1/settings', change);
    return answer.ok ? undefined : faultOf(answer);
  }

  #listen() {
    this.#events?.close();
    const events = new EventSource('/api/v1/events');
    this.#events = events;
    events.addEventListener('open', () => {
      this.lines = [];
    });
    events.addEventListener('state', (event) => {
      this.state = JSON.parse(event.data);
      this.#heard();
    });
    events.addEventListener('frame', (event) => {
      const { camera } = JSON.parse(event.data);
      if (this.#watched.has(camera)) void this.#readFrame(camera);
    });
    events.addEventListener('log', (event) => {
      this.lines = [...this.lines, JSON.parse(event.data)].slice(-LINES);
      this.onChange();
    });
    events.addEventListener('error', () => {
      this.#lost();
      // A browser gives up where the answer is no stream: central starts, or the session has ended.
      if (events.readyState === EventSource.CLOSED && this.#events === events)
        setTimeout(() => void this.start().catch(() => this.#listen()), 2000);
    });
  }

  #heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), STALE_MS);
    this.isConnected = true;
    this.onChange();
  }

  #lost() {
    this.isConnected = false;
    this.onChange();
  }

  /** @param {string} camera */
  async #readFrame(camera) {
    // One request at a time: a slow link gets fewer frames.
    if (this.#reading.has(camera)) return;
    this.#reading.add(camera);
    try {
      const answer = await fetch(`/api/v1/frames/${camera}`);
      if (answer.ok) this.frames.set(camera, await answer.json());
      this.onChange();
    } catch {
      // The events say that central is gone.
    } finally {
      this.#reading.delete(camera);
    }
  }
}

/**
 * @param {string} path
 * @param {object} body
 */
function post(path, body) {
  return fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/**
 * @param {Response} answer
 * @returns {Promise<string>}
 */
async function faultOf(answer) {
  const { error, hint } = await answer.json().catch(() => ({ error: `status ${answer.status}`, hint: undefined }));
  return hint === undefined ? error : `${error}: ${hint}`;
}
