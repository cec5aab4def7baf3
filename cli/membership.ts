import { enrol, type Membership, readMembership } from '../node-agent/enrolment.ts';
import type { Invitation } from '../shared/config/join.ts';
import { TesseraError } from '../shared/errors.ts';
import type { Log } from '../shared/ports.ts';
import { hideUserInfo } from '../shared/redact.ts';
import { type ConnectionFault, isUserRefusal } from '../shared/runtime/broker-failure.ts';
import type { BrokerSearch } from '../shared/runtime/broker-search.ts';
import type { BusOptions } from '../shared/runtime/bus-options.ts';
import type { LoadedConfig } from '../shared/runtime/config.ts';
import { busOptions } from './connect.ts';

/** What an agent's way in depends on. */
export interface Circumstances {
  readonly loaded: LoadedConfig;
  /** The id that flags or configuration give. */
  readonly id: string | undefined;
  readonly stateDir: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** As whom an agent connects, and whose models it runs. */
export interface WayIn {
  readonly bus: Omit<BusOptions, 'clientId' | 'log' | 'will'>;
  readonly base: string;
  readonly id: string | undefined;
  readonly trustedKeys: readonly string[];
  /** Keys whose releases of the program it runs. */
  readonly updateKeys: readonly string[];
  /** Whether it joined by an invitation, now or earlier. */
  readonly isMember: boolean;
  /** Where the broker is looked for, unless flags or configuration name it. */
  readonly search: BrokerSearch | undefined;
}

/**
 * How an agent comes in: by an invitation, or as the member that this machine became by it or by an earlier one.
 * Undefined where it was stopped while it waited for the broker. Throws as `enrol`, and TESSERA_USAGE for another id.
 */
export async function wayIn(invitation: Invitation | undefined, where: Circumstances): Promise<WayIn | undefined> {
  if (invitation === undefined) return keptMembership(where);
  const { id, stateDir, log, signal } = where;
  // A broker lets a node write only under its user name.
  if (id !== undefined && id !== invitation.user)
    throw new TesseraError('TESSERA_USAGE', `the id is ${id}, but the join token was made for ${invitation.user}`, {
      hint: 'omit the id, or get a token for this id',
    });
  const { bus } = await asMember(invitation, where);
  try {
    return await asMember(await enrol(invitation, { stateDir, bus, log, signal }), where);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/**
 * Comes in as the member that this machine became earlier, unless the configuration leads elsewhere: to another broker,
 * or as somebody else. Without a membership the configuration alone counts.
 */
async function keptMembership(where: Circumstances): Promise<WayIn> {
  const { loaded, id, stateDir, log } = where;
  const { mqtt, node, updates } = loaded.config;
  const member = await readMembership(stateDir);
  const isElsewhere = isSaid(where, 'mqtt.server') && mqtt.server !== member?.server;
  const isOther = mqtt.user !== undefined || mqtt.password !== undefined || mqtt.cert !== undefined;
  if (member !== undefined && !isElsewhere && !isOther && (id === undefined || id === member.user))
    return asMember(member, where);
  if (member !== undefined)
    log.debug(`this machine joined ${member.server} as ${member.user}, but is configured for another broker or user`);
  const { clientId: _, log: __, ...bus } = await busOptions(loaded.config, '', log);
  const about = { base: mqtt.base_topic, trustedKeys: node.trusted_keys, updateKeys: updates.keys };
  const search = await searchFor(bus.url, about, where);
  return { bus: { ...bus, whereabouts: search }, ...about, id, isMember: false, search };
}

/** The connection of a member; explicit configuration overrides it. */
async function asMember(member: Invitation | Membership, where: Circumstances): Promise<WayIn> {
  const { loaded, log } = where;
  const { mqtt, node, updates } = loaded.config;
  const { clientId: _, log: __, ...bus } = await busOptions(loaded.config, '', log);
  const about = {
    base: isSaid(where, 'mqtt.base_topic') ? mqtt.base_topic : (member.base ?? 'tessera'),
    trustedKeys: [...member.keys, ...node.trusted_keys],
  };
  const search = await searchFor(member.server, about, where);
  return {
    bus: {
      ...bus,
      whereabouts: search,
      url: isSaid(where, 'mqtt.server') ? bus.url : member.server,
      user: member.user,
      password: 'password' in member ? member.password : undefined,
      ca: bus.ca ?? member.ca,
    },
    ...about,
    id: member.user,
    updateKeys: [...(member.update_keys ?? []), ...updates.keys],
    isMember: true,
    search,
  };
}

/** The search for a broker that was at `server`; undefined where flags or configuration say where it is. */
async function searchFor(
  server: string,
  { base, trustedKeys: keys }: Pick<WayIn, 'base' | 'trustedKeys'>,
  where: Circumstances,
): Promise<BrokerSearch | undefined> {
  const { loaded, stateDir, log } = where;
  if (isSaid(where, 'mqtt.server') || !loaded.config.mdns) return undefined;
  const [{ BrokerSearch }, { keepGood, lastGood }] = await Promise.all([
    import('../shared/runtime/broker-search.ts'),
    import('./known-broker.ts'),
  ]);
  const keep = (url: string): void => {
    try {
      keepGood(stateDir, server, url);
    } catch (error) {
      log.warn((error as Error).message);
    }
  };
  const secure = /^(mqtts|wss):/.test(server);
  const known = { given: server, known: await lastGood(stateDir, server) };
  return new BrokerSearch(known, { base, keys, secure }, keep, log);
}

/** The error that ends an agent: for a member that the broker refuses, with how to join again. */
export function explained(error: unknown, { bus, id, isMember, search }: WayIn): unknown {
  const fault = error instanceof TesseraError ? (error.cause as ConnectionFault | undefined) : undefined;
  if (!isMember || !isUserRefusal(fault?.code)) return error;
  const text = `${hideUserInfo(search?.url ?? bus.url)} no longer accepts ${id}: its access was revoked, or the broker lost its secrets`;
  return new TesseraError('TESSERA_BROKER', text, {
    hint: `to join again: \`tessera node invite ${id}\` on the broker's machine, and here, once, the command that it prints`,
    cause: error,
  });
}

const isSaid = ({ loaded }: Circumstances, key: string): boolean =>
  (loaded.origins.get(key) ?? 'default') !== 'default';
