import { CENTRAL } from '../shared/plan/plan.ts';
import { coversFilter, matchesFilter } from '../shared/protocol/filter.ts';
import {
  isName,
  isNodeId,
  parseInputTopic,
  parseWireTopic,
  topics,
  WIRE_KINDS,
  WIRE_VERSION,
} from '../shared/protocol/topics.ts';

/**
 * The authorization policy: who may publish and subscribe to what.
 *
 *             publishes                                       subscribes
 *   central   <base>/#, the wire as itself; no requests       <base>/#, its inbox
 *   node      <base>/node/<id>/#, the wire as itself          its inbox, central's to all, who is online, its own topics
 *   camera    <base>/input/<camera>[/<frame>]                 its results and the status of the deployment
 *   viewer    nothing                                         <base>/#
 *   home      settings of cameras, Home Assistant's status    <base>/#, Home Assistant's discovery
 *   admin     <base>/#                                        everything
 *   local     everything                                      everything
 *
 * `local` is a client on this machine without credentials. The last level of a wire topic is the sender's identity, so
 * no authenticated client writes in another's name. Of what is sent to all, nodes may read only what central sends. Only the broker publishes `$` topics. The rules are topic filters,
 * because other brokers accept nothing else (mosquitto.ts); the form of names, which no filter can express, is checked
 * beside them.
 */

/** Roles that credentials can carry. */
export const ROLES = ['central', 'node', 'camera', 'viewer', 'home', 'admin'] as const;
/** A role that credentials can carry. */
export type Role = (typeof ROLES)[number];

/** The identity of a connection: role and name (of a node, camera, central or person), or a client on this machine. */
export type Identity = { readonly role: Role; readonly name: string } | { readonly role: 'local' };

/** Whether a name can belong to a role: a node's id, a camera's id, `central` for central. */
export function isRoleName(role: Role, name: string): boolean {
  if (role === 'central') return name === CENTRAL;
  return role === 'node' ? isNodeId(name) && name !== CENTRAL : isName(name);
}

/** The user name of a role and name: `<role>-<name>`; that of a node or central is its id. */
export const userName = (role: Role, name: string): string =>
  role === 'node' || role === 'central' ? name : `${role}-${name}`;

/**
 * The identity of a user name without credentials, as in certificates: `central`, `camera-NAME`, `viewer-NAME`,
 * `home-NAME`, `admin-NAME`, and any other valid node id. A node whose id begins like a role is that role here.
 */
export function identityOfUser(user: string): { readonly role: Role; readonly name: string } | undefined {
  if (user === CENTRAL) return { role: 'central', name: CENTRAL };
  const [, role, name] = /^(camera|viewer|home|admin)-(.+)$/.exec(user) ?? [undefined, 'node', user];
  return isRoleName(role as Role, name!) ? { role: role as Role, name: name! } : undefined;
}

/**
 * Whether messages of a topic are bulk data: frames and tensors, which a slow reader may lose, because they are sent
 * again or soon out of date.
 */
export function isBulk(base: string, topic: string): boolean {
  if (topic.startsWith(`${base}/input/`)) return true;
  if (!topic.startsWith(`${base}-wire/`)) return false;
  const { kind, to } = parseWireTopic(topic) ?? {};
  // Pictures of frames that were born at nodes go to central, orders about them to nodes.
  return kind !== 'control' && kind !== 'blob-get' && !(kind === 'frame' && to !== CENTRAL);
}

/** Topic filters that an identity may publish and subscribe to. */
export interface Rules {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** The rules of a role and name under `base`, with Home Assistant's discovery under `prefix`; the name may be a placeholder that a broker replaces. */
export function rulesOf(
  { role, name }: { readonly role: Role; readonly name: string },
  base = 'tessera',
  prefix = 'homeassistant',
): Rules {
  const inbox = `${base}-wire/+/${name}/#`;
  const { wireShared } = topics(base);
  const wire = WIRE_KINDS.map((kind) => `${base}-wire/${WIRE_VERSION}/+/${kind}/${name}`);
  switch (role) {
    case 'central':
      // Every topic that central publishes is listed: other brokers cannot express "all but requests".
      return {
        publish: [
          ...[
            'status',
            'central/#',
            'input/#',
            'result/#',
            'camera/#',
            'node/#',
            'stats',
            'plan/#',
            'event/#',
            'trace/#',
            'update',
          ].map((topic) => `${base}/${topic}`),
          `${base}/response/#`,
          `${prefix}/device/+/config`,
          ...wire,
        ],
        subscribe: [`${base}/#`, `${prefix}/status`, inbox, wireShared],
      };
    case 'node':
      return {
        publish: [`${base}/node/${name}/#`, ...wire],
        subscribe: [
          inbox,
          wireShared,
          `${base}/status`,
          `${base}/update`,
          `${base}/central/+/status`,
          `${base}/node/+/status`,
          `${base}/node/${name}/#`,
        ],
      };
    case 'camera':
      return {
        publish: [`${base}/input/${name}`, `${base}/input/${name}/+`],
        subscribe: [`${base}/status`, `${base}/camera/${name}/#`, `${base}/result/${name}/#`],
      };
    case 'viewer':
      return { publish: [], subscribe: [`${base}/#`] };
    case 'home':
      return {
        publish: [`${base}/camera/+/+/set`, `${prefix}/status`],
        subscribe: [`${base}/#`, `${prefix}/#`],
      };
    case 'admin':
      return { publish: [`${base}/#`], subscribe: ['#', '$SYS/#'] };
  }
}

/** Whether `who` may publish to `topic` under `base`. */
export function mayPublish(who: Identity, topic: string, base = 'tessera', prefix?: string): boolean {
  if (topic.startsWith('$')) return false;
  if (who.role === 'local') return true;
  if (!rulesOf(who, base, prefix).publish.some((allowed) => matchesFilter(allowed, topic))) return false;
  if (topic.startsWith(`${base}-wire/`)) return parseWireTopic(topic)?.from === who.name;
  return who.role !== 'camera' || parseInputTopic(base, topic)?.camera === who.name;
}

/** Whether `who` may subscribe to `filter` under `base`. */
export function maySubscribe(who: Identity, filter: string, base = 'tessera', prefix?: string): boolean {
  return who.role === 'local' || rulesOf(who, base, prefix).subscribe.some((allowed) => coversFilter(allowed, filter));
}
