import { CENTRAL } from '../shared/plan/plan.ts';
import { coversFilter, matchesFilter } from '../shared/protocol/filter.ts';
import {
  isName,
  isNodeId,
  parseInputTopic,
  parseWireTopic,
  WIRE_KINDS,
  WIRE_VERSION,
} from '../shared/protocol/topics.ts';

/**
 * Who may publish and subscribe what; DESIGN sections 2 and 4.
 *
 *             publishes                                       subscribes
 *   central   <base>/#, the wire as itself; no requests       <base>/#, its inbox
 *   node      <base>/node/<id>/#, the wire as itself          its inbox, who is online, what is said of itself
 *   camera    <base>/input/<camera>[/<frame>]                 its results and whether all is online
 *   viewer    nothing                                         <base>/#
 *   admin     <base>/#                                        everything
 *   local     everything                                      everything
 *
 * `local` is a connection from this machine without credentials. The last level of a wire topic is the sender's
 * identity, so nobody with a name of their own writes another's. Nobody publishes `$` topics: those are the broker's.
 * The rules are filters, because other brokers take nothing else (mosquitto-acl.ts); what no filter can say, the form
 * of names, is asked on top of them.
 */

/** Roles that credentials can carry. */
export const ROLES = ['central', 'node', 'camera', 'viewer', 'admin'] as const;
/** A role that credentials can carry. */
export type Role = (typeof ROLES)[number];

/** Who a connection is: a role and a name (node id, camera id, central id, or a person), or somebody on this machine. */
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
 * Who a user name is where nothing else says so, as in certificates: `central`, `camera-NAME`, `viewer-NAME`,
 * `admin-NAME`, and anything else that can be a node's id. So a node whose id begins like a role is that role here.
 */
export function identityOfUser(user: string): { readonly role: Role; readonly name: string } | undefined {
  if (user === CENTRAL) return { role: 'central', name: CENTRAL };
  const [, role, name] = /^(camera|viewer|admin)-(.+)$/.exec(user) ?? [undefined, 'node', user];
  return isRoleName(role as Role, name!) ? { role: role as Role, name: name! } : undefined;
}

/**
 * Whether a message of that topic is bulk, tensors and frames, which a slow reader may lose because it is sent again
 * or was not the last of its kind.
 */
export function isBulk(base: string, topic: string): boolean {
  if (topic.startsWith(`${base}/input/`)) return true;
  if (!topic.startsWith(`${base}-wire/`)) return false;
  const kind = parseWireTopic(topic)?.kind;
  return kind !== 'control' && kind !== 'blob-get';
}

/** Topic filters of what somebody may publish and subscribe. */
export interface Rules {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** The rules of a role and name under `base`; the name may be a placeholder that a broker replaces. */
export function rulesOf({ role, name }: { readonly role: Role; readonly name: string }, base = 'tessera'): Rules {
  const inbox = `${base}-wire/+/${name}/#`;
  const wire = WIRE_KINDS.map((kind) => `${base}-wire/${WIRE_VERSION}/+/${kind}/${name}`);
  switch (role) {
    case 'central':
      // A topic that central is to publish in future belongs here: other brokers know no "all but requests".
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
          ].map((topic) => `${base}/${topic}`),
          `${base}/response/#`,
          ...wire,
        ],
        subscribe: [`${base}/#`, inbox],
      };
    case 'node':
      return {
        publish: [`${base}/node/${name}/#`, ...wire],
        subscribe: [
          inbox,
          `${base}/status`,
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
    case 'admin':
      return { publish: [`${base}/#`], subscribe: ['#', '$SYS/#'] };
  }
}

/** Whether `who` may publish to `topic` under `base`. */
export function mayPublish(who: Identity, topic: string, base = 'tessera'): boolean {
  if (topic.startsWith('$')) return false;
  if (who.role === 'local') return true;
  if (!rulesOf(who, base).publish.some((allowed) => matchesFilter(allowed, topic))) return false;
  if (topic.startsWith(`${base}-wire/`)) return parseWireTopic(topic)?.from === who.name;
  return who.role !== 'camera' || parseInputTopic(base, topic)?.camera === who.name;
}

/** Whether `who` may subscribe to `filter` under `base`. */
export function maySubscribe(who: Identity, filter: string, base = 'tessera'): boolean {
  return who.role === 'local' || rulesOf(who, base).subscribe.some((allowed) => coversFilter(allowed, filter));
}
