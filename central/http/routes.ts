import type { IncomingMessage, ServerResponse } from 'node:http';
import { isName } from '../../shared/protocol/topics.ts';
import { explain } from '../../shared/schema.ts';
import { refusesRequest } from './access.ts';
import { type ApiLogLine, type ApiSession, apiLogin, apiSettingChange } from './api.ts';
import { type Logins, type Role, SESSION_MS, type Session } from './logins.ts';
import type { Page } from './page-files.ts';
import { Refusal } from './refusal.ts';
import { isReleasePath, ReleaseFiles } from './release-files.ts';
import { type Answer, json, jsonBody } from './server.ts';
import type { ShownFrames } from './shown-frames.ts';
import type { View } from './view.ts';

/** What `Routes` needs. */
export interface RoutesOptions {
  readonly page: Page;
  /** Folder of releases that nodes may download. */
  readonly releases: string | undefined;
  /** Absent: whoever reaches this machine's own address may do everything. */
  readonly logins: Logins | undefined;
  /** Undefined while central starts. */
  readonly view: () => View | undefined;
  readonly frames: Pick<ShownFrames, 'newest' | 'picture'>;
  readonly log: () => readonly ApiLogLine[];
  readonly metrics: (view: View) => Promise<Answer>;
  /** Opens a stream of events, which ends when `ended` is aborted. */
  readonly listen: (view: View, response: ServerResponse, ended: AbortSignal | undefined) => void;
}

/** Who asks. */
interface Asker {
  readonly user: string | null;
  readonly role: Role | null;
  /** The token of the session that a logout ends. */
  readonly token: string | undefined;
  readonly ended: AbortSignal | undefined;
}

const COOKIE = 'tessera-session';
const MAX_URL = 512;

/** Answers requests by path. */
export class Routes {
  readonly #options: RoutesOptions;
  readonly #releases: ReleaseFiles;

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#releases = new ReleaseFiles(options.releases);
  }

  /** Throws a `Refusal`. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<Answer | undefined> {
    const { method = '', url = '', headers } = request;
    const { page, logins } = this.#options;
    const refused = refusesRequest(headers, method, logins !== undefined);
    if (refused !== undefined) throw new Refusal(403, refused);
    const [path = ''] = url.slice(0, MAX_URL).split('?');
    const file = page.files.get(path);
    if (file !== undefined && isReading(method)) return fileAnswer(file, headers['if-none-match']);
    if (isReleasePath(path) && isReading(method)) {
      await this.#releases.send(path, request, response);
      return undefined;
    }
    const asker = await this.#asker(request);
    if (isReading(method)) return this.#read(path, asker, response);
    if (method === 'POST') return this.#post(path, asker, request);
    throw new Refusal(405, `${method} is not served`);
  }

  async #asker(request: IncomingMessage): Promise<Asker> {
    const { logins } = this.#options;
    if (logins === undefined) return { user: null, role: 'admin', token: undefined, ended: undefined };
    const [scheme, said = ''] = (request.headers.authorization ?? '').split(' ');
    const token = scheme === 'Bearer' ? said : cookieOf(request);
    let session: Session | undefined;
    if (scheme === 'Basic') {
      const text = Buffer.from(said, 'base64').toString();
      const colon = text.indexOf(':');
      const address = request.socket.remoteAddress ?? '';
      session = await logins.basic(text.slice(0, colon), text.slice(colon + 1), address);
    } else session = logins.session(token ?? '');
    return { user: session?.user ?? null, role: session?.role ?? null, token, ended: session?.ended };
  }

  async #read(path: string, asker: Asker, response: ServerResponse): Promise<Answer | undefined> {
    const { logins, frames, log, metrics, listen } = this.#options;
    if (path === '/api/v1/session') {
      const session: ApiSession = { v: 1, login: logins !== undefined, user: asker.user, role: asker.role };
      return json(session);
    }
    const view = this.#options.view();
    if (path === '/healthz') {
      const health = view?.health() ?? { ok: false, phase: 'starting' as const, problems: ['central is starting'] };
      // The reasons name models and folders.
      return json({ ...health, problems: asker.role === null ? [] : health.problems }, health.ok ? 200 : 503);
    }
    if (asker.role === null) throw new Refusal(401, 'log in first', 'POST /api/v1/login, or HTTP Basic');
    if (view === undefined) throw new Refusal(503, 'central is starting');
    if (path === '/metrics') return metrics(view);
    if (path === '/api/v1/state') return json(view.state());
    if (path === '/api/v1/settings') return json(view.settings());
    if (path === '/api/v1/log') return json({ v: 1, lines: log() });
    if (path === '/api/v1/events') return void listen(view, response, asker.ended);
    const [, camera, id] = /^\/api\/v1\/frames\/([^/]+)(?:\/([0-9-]+)\/picture)?$/.exec(path) ?? [];
    if (camera === undefined || !isName(camera))
      throw new Refusal(404, 'there is no such path', 'docs/window.md has them');
    if (id === undefined) {
      const frame = frames.newest(camera);
      if (frame === undefined) throw new Refusal(404, `camera ${camera} has no frame to show`);
      return json(frame);
    }
    const picture = await frames.picture(camera, id)?.catch(() => undefined);
    if (picture === undefined) throw new Refusal(404, `frame ${id} of camera ${camera} has no picture here`);
    return { status: 200, type: 'image/jpeg', body: picture };
  }

  async #post(path: string, asker: Asker, request: IncomingMessage): Promise<Answer> {
    if (path === '/api/v1/login') return this.#login(request);
    if (asker.role === null) throw new Refusal(401, 'log in first', 'POST /api/v1/login, or HTTP Basic');
    if (path === '/api/v1/logout') {
      this.#options.logins?.logout(asker.token ?? '');
      return json({}, 200, { 'set-cookie': cookie('', 0) });
    }
    if (path !== '/api/v1/settings') throw new Refusal(404, 'there is no such path', 'docs/window.md has them');
    if (asker.role !== 'admin') throw new Refusal(403, 'only an admin changes settings');
    const view = this.#options.view();
    if (view === undefined) throw new Refusal(503, 'central is starting');
    const change = apiSettingChange.safeParse(await jsonBody(request));
    if (!change.success) throw new Refusal(400, explain(change.error));
    const fault = view.change(change.data);
    if (fault !== undefined) throw new Refusal(400, fault);
    return json(view.settings());
  }

  async #login(request: IncomingMessage): Promise<Answer> {
    const { logins } = this.#options;
    if (logins === undefined) throw new Refusal(404, 'there is no login on this machine itself');
    const said = apiLogin.safeParse(await jsonBody(request));
    if (!said.success) throw new Refusal(400, explain(said.error));
    const { user, password } = said.data;
    const token = await logins.login(user, password, request.socket.remoteAddress ?? '');
    const role = logins.session(token)?.role;
    return json({ token, user, role }, 200, { 'set-cookie': cookie(token, SESSION_MS / 1000) });
  }
}

const isReading = (method: string): boolean => method === 'GET' || method === 'HEAD';

function fileAnswer({ type, bytes, etag }: { type: string; bytes: Uint8Array; etag: string }, known?: string): Answer {
  const headers = { etag, 'cache-control': 'no-cache' };
  return known === etag ? { status: 304, type, body: '', headers } : { status: 200, type, body: bytes, headers };
}

function cookieOf({ headers }: IncomingMessage): string | undefined {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim().split('='));
  return pairs.find(([name]) => name === COOKIE)?.[1];
}

/** Kept from scripts and from requests of other sites (RFC 6265bis). */
const cookie = (token: string, seconds: number): string =>
  `${COOKIE}=${token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=${seconds}`;
