import { CENTRAL } from '../shared/plan/plan.ts';
import { coversFilter } from '../shared/protocol/filter.ts';
import { isName, isNodeId, parseInputTopic, parseWireTopic } from '../shared/protocol/topics.ts';

/**
 * Who may publish and subscribe what; DESIGN sections 2 and 4.
 *
 *             publishes                                       subscribes
 *   central   <base>/#, the wire as itself                    <base>/#, its inbox
 *   node      <base>/node/<id>/#, the wire as itself          its inbox, who is online, what is said of itself
 *   camera    <base>/input/<camera>[/<frame>]                 its results and whether all is online
 *   viewer    nothing                                         <base>/#
 *   admin     everything but the wire                         everything
 *   local     everything                                      everything
 *
 * `local` is a connection from this machine without credentials. The last level of a wire topic is the sender's
 * identity, so nobody with a name of their own writes another's. Nobody publishes `$` topics: those are the broker's.
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

/** Whether `who` may publish to `topic` under `base`. */
export function mayPublish(who: Identity, topic: string, base = 'tessera'): boolean {
  if (topic.startsWith('$')) return false;
  const onWire = topic.startsWith(`${base}-wire/`);
  const wireFrom = onWire ? parseWireTopic(topic)?.from : undefined;
  switch (who.role) {
    case 'local':
      return true;
    case 'admin':
      return !onWire;
    case 'central':
      return wireFrom === who.name || topic.startsWith(`${base}/`);
    case 'node':
      return wireFrom === who.name || topic.startsWith(`${base}/node/${who.name}/`);
    case 'camera':
      return parseInputTopic(base, topic)?.camera === who.name;
    case 'viewer':
      return false;
  }
}

/** Whether `who` may subscribe to `filter` under `base`. */
export function maySubscribe(who: Identity, filter: string, base = 'tessera'): boolean {
  if (who.role === 'local' || who.role === 'admin') return true;
  return readable(who, base).some((allowed) => coversFilter(allowed, filter));
}

function readable(who: Extract<Identity, { name: string }>, base: string): string[] {
  const inbox = `${base}-wire/+/${who.name}/#`;
  switch (who.role) {
    case 'central':
      return [`${base}/#`, inbox];
    case 'node':
      return [
        inbox,
        `${base}/status`,
        `${base}/central/+/status`,
        `${base}/node/+/status`,
        `${base}/node/${who.name}/#`,
      ];
    case 'camera':
      return [`${base}/status`, `${base}/camera/${who.name}/#`, `${base}/result/${who.name}/#`];
    case 'viewer':
    case 'admin':
      return [`${base}/#`];
  }
}
