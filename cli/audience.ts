import { plain } from '../shared/log-throttle.ts';
import type { Bus } from '../shared/ports.ts';
import type { Topics } from '../shared/protocol/topics.ts';

/** What a broker's retained messages say about central. */
export interface Audience {
  /** Whether central is online; undefined where this user may not read it, or the broker has not sent it. */
  readonly central: boolean | undefined;
  /** Models that central serves; undefined where these rights do not show them. */
  readonly models: readonly string[] | undefined;
  /** Cameras, and whether each is sending. */
  readonly cameras: ReadonlyMap<string, boolean> | undefined;
}

/** Retained messages follow the acknowledgement of the subscription within this time, ms. */
const SETTLE_MS = 400;
const NOBODY =
  'no central is online, so frames are not processed: start one with `tessera central`, or all with `tessera up`';

/** Why frames that are sent now will not be processed; undefined where they will, or where that is unknown. */
export function whyUnheard({ central }: Audience): string | undefined {
  return central === false ? NOBODY : undefined;
}

/** What results of `camera` and `model` (undefined: of all) are waiting for. */
export function awaited(
  { central, models, cameras }: Audience,
  { camera, model }: { readonly camera: string | undefined; readonly model: string | undefined },
): string {
  if (central === false) return `waiting: ${NOBODY}`;
  if (models !== undefined && models.length === 0)
    return 'waiting: central is online and serves no model yet; its log says why';
  if (model !== undefined && models !== undefined && !models.includes(model))
    return `waiting: central does not serve model "${model}"; it serves ${listed(models)}`;
  const send = `\`tessera publish ${camera ?? 'front'} photo.jpg\` sends one`;
  if (camera !== undefined && cameras !== undefined && cameras.get(camera) !== true)
    return `waiting: camera ${camera} ${cameras.has(camera) ? 'has stopped sending' : 'has sent no frame yet'}; ${send}`;
  const known = [...(cameras ?? [])];
  if (cameras !== undefined && known.length === 0) return `waiting: no camera has sent a frame yet; ${send}`;
  const sending = known.filter(([, isOnline]) => isOnline).map(([name]) => name);
  if (known.length > 0 && sending.length === 0)
    return `waiting: no camera sends (${listed(known.map(([name]) => name))} did); ${send}`;
  return `waiting for the next result${camera === undefined ? '' : ` of ${camera}`}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).map(plain).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}

/**
 * Follows what the broker shows of central and, where `all` is wanted, of models and cameras. `settled` resolves once
 * it is known whether a central is there.
 */
export async function followAudience(
  bus: Bus,
  topics: Topics,
  all: boolean,
): Promise<{ readonly now: () => Audience; readonly settled: Promise<void> }> {
  let central: boolean | undefined;
  const models = new Set<string>();
  const cameras = new Map<string, boolean>();
  const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);
  /** Whether these rights show it; without one of them the others still say something. */
  const follow = (filter: string, take: (topic: string, payload: Uint8Array) => void): Promise<boolean> =>
    bus
      .subscribe(filter, 1, ({ topic, payload }) => take(topic, payload))
      .then(
        () => true,
        () => false,
      );
  const seesModels =
    all &&
    (await follow(topics.planAll, (topic, payload) => {
      const model = topic.slice(topics.plan('').length);
      if (payload.length === 0) models.delete(model);
      else models.add(model);
    }));
  const seesCameras =
    all &&
    (await follow(topics.cameraStatusAll, (topic, payload) => {
      const camera = topic.split('/').at(-2)!;
      if (payload.length === 0) cameras.delete(camera);
      else cameras.set(camera, text(payload) === 'online');
    }));
  let heard: () => void = () => {};
  const settled = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const seesCentral = await follow(topics.status, (_, payload) => {
    central = text(payload) === 'online';
    heard();
  });
  setTimeout(() => {
    // A broker that keeps nothing on this topic has no central.
    if (seesCentral) central ??= false;
    heard();
  }, SETTLE_MS);
  return {
    now: () => ({
      central,
      models: seesModels ? [...models] : undefined,
      cameras: seesCameras ? cameras : undefined,
    }),
    settled,
  };
}
